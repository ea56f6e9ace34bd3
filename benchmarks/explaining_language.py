"""How faithful relevance of tokens is, by token flipping, and what it costs.

    python -m benchmarks.explaining_language flip NAME MODEL_FOLDER TEXT_FILE TABLE.csv
    python -m benchmarks.explaining_language show TABLE.csv
    python -m benchmarks.explaining_language cost MODEL_FOLDER TEXT_FILE
    python -m benchmarks.explaining_language memory MODEL_FOLDER TOKENS
    python -m benchmarks.explaining_language memory 4 TOKENS

Windows of the text are drawn at random, some for each seed. The token that the network holds most probable
behind a window is explained by every method, and tokens are flipped in the order of their relevance
(`xaiprune.evaluation.token_faithfulness`). A line of the table is one window and one method. What is there
already is not measured again.

Memory is what one attribution adds to the process at its peak: of a model, or of so many layers of a random
network with the sizes of Llama 3.2 1B. Each needs a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

import xaiprune as xp
from benchmarks.shared import added_at_peak
from xaiprune.attribution import initial_relevance
from xaiprune.attribution.lrp import Composite, Recording, relevance_at
from xaiprune.attribution.text import ATTNLRP
from xaiprune.embedding import Leaves
from xaiprune.evaluation import token_faithfulness
from xaiprune.forward import logits_of
from xaiprune.models import LanguageModel

FIELDS = ("model", "window", "seed", "start", "method", "area", "most_first", "least_first")
VARIANTS = {  # what of AttnLRP matters
    "AttnLRP": ATTNLRP,
    "CP-LRP": replace(ATTNLRP, softmax="cp"),
    "AttnLRP, products not split": replace(ATTNLRP, product="gradient"),
    "AttnLRP, norms not constant": replace(ATTNLRP, norm="gradient"),
    "AttnLRP, plain gradient of activations": replace(ATTNLRP, activation="gradient"),
    "AttnLRP, plain gradient of attention": replace(ATTNLRP, softmax="gradient"),
}
LLAMA_1B = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
PATH = 16  # points of integrated gradients' path
OTHERS = ("input x gradient", "integrated gradients", "attention rollout", "raw attention", "random")

Explains = Callable[[LanguageModel, Tensor, xp.TokenTargets, int], Tensor]
"""Network, ids (N, T), what is explained, seed -> relevance (N, T)."""


def by_rules(composite: Composite) -> Explains:
    """LRP from the explained logits down to the tokens."""

    def explain(model: LanguageModel, ids: Tensor, targets: xp.TokenTargets, seed: int) -> Tensor:
        initial = torch.zeros(*ids.shape, model.outputs)
        initial[targets.windows, targets.positions, targets.tokens] = targets.weights
        return relevance_at(model.model, ids, initial, composite, ["input"])["input"]

    return explain


def along_path(points: int) -> Explains:
    """Integrated gradients of the embeddings, from zero, by the midpoint rule; with one point the end's."""

    def explain(model: LanguageModel, ids: Tensor, targets: xp.TokenTargets, seed: int) -> Tensor:
        total = torch.zeros(ids.shape)
        for point in range(points):
            scale = 1.0 if points == 1 else (point + 0.5) / points
            leaves = Leaves(ids, scale)
            logits = logits_of(leaves.run(model.model))
            chosen = logits[targets.windows, targets.positions, targets.tokens]
            total += leaves.times_gradient(chosen.sum())["input"] / (scale * points)
        return total

    return explain


def by_attention(rollout: bool) -> Explains:
    """What the last position attends to, mean over heads: in the last layer, or rolled out over all.

    Rollout (Abnar and Zuidema 2020) multiplies the layers' attention, half of which is the residual stream.
    """

    def explain(model: LanguageModel, ids: Tensor, targets: xp.TokenTargets, seed: int) -> Tensor:
        network = model.model
        usual = network.config._attn_implementation  # type: ignore[union-attr]
        network.set_attn_implementation("eager")  # type: ignore[operator]
        with torch.no_grad():
            layers = [layer.mean(1) for layer in network(ids, output_attentions=True).attentions]
        network.set_attn_implementation(usual)  # type: ignore[operator]
        if not rollout:
            return layers[-1][:, -1]
        rolled = torch.eye(ids.shape[1]).expand_as(layers[0])
        for layer in layers:
            rolled = (0.5 * layer + 0.5 * torch.eye(ids.shape[1])) @ rolled
        return rolled[:, -1]

    return explain


def at_random(model: LanguageModel, ids: Tensor, targets: xp.TokenTargets, seed: int) -> Tensor:
    """Numbers from 0 to 1."""
    return torch.rand(ids.shape, generator=torch.Generator().manual_seed(seed))


METHODS: dict[str, Explains] = {
    **{name: by_rules(composite) for name, composite in VARIANTS.items()},
    "input x gradient": along_path(1),
    "integrated gradients": along_path(PATH),
    "attention rollout": by_attention(rollout=True),
    "raw attention": by_attention(rollout=False),
    "random": at_random,
}


def drawn(model: LanguageModel, text: Path, window: int, count: int, seed: int) -> tuple[Tensor, list[int]]:
    """Windows of a text, (count, window), and where in the text they begin, in tokens."""
    ids = torch.tensor(model.all_ids(text.read_text(encoding="utf-8")))
    starts = np.random.default_rng(seed).permutation(len(ids) - window)[:count].tolist()
    return torch.stack([ids[start : start + window] for start in starts]), starts


def predicted(model: LanguageModel, ids: Tensor) -> xp.TokenTargets:
    """The token that is most probable behind each window."""
    with torch.no_grad():
        tokens = model.model(ids).logits[:, -1].argmax(-1)
    rows = torch.arange(len(ids))
    last = torch.full_like(rows, ids.shape[1] - 1)
    return xp.TokenTargets(rows, last, tokens, torch.ones(len(ids)), len(ids))


def lines(
    model: LanguageModel, ids: Tensor, methods: list[str], seed: int, steps: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Method -> of each window the area between the curves, and below each of the two."""
    targets = predicted(model, ids)
    for method in methods:
        relevance = METHODS[method](model, ids, targets, seed)
        found = token_faithfulness(model.model, ids, targets, relevance, steps=steps, batch_size=len(ids))
        below = (
            np.trapezoid(curve, found.flipped, axis=0) for curve in (found.most_first, found.least_first)
        )
        yield method, found.per_image, *below


def flip(options: argparse.Namespace) -> None:
    """Measure what the table lacks."""
    model = xp.open_language_model(options.model)
    model.model.requires_grad_(False)
    there = {key_of(row) for row in read(options.table)} if options.table.exists() else set()
    with options.table.open("a", newline="") as file:
        table = csv.DictWriter(file, FIELDS)
        if not there:
            table.writeheader()
        draws = [drawn(model, options.text, options.window, options.windows, s) for s in range(options.seeds)]
        for first in range(0, options.windows, options.batch):
            for seed, (ids, starts) in enumerate(draws):  # stopped half-way, all seeds have as many windows
                part, places = ids[first : first + options.batch], starts[first : first + options.batch]
                keys = {"model": options.name, "window": str(options.window), "seed": str(seed)}
                wanted = [
                    {**keys, "start": str(place), "method": m} for m in options.methods for place in places
                ]
                missing = list(dict.fromkeys(key["method"] for key in wanted if key_of(key) not in there))
                for method, *values in lines(model, part, missing, seed * 1000 + first, options.steps):
                    for place, *numbers in zip(places, *values, strict=True):
                        shown = {f: f"{v:.5f}" for f, v in zip(FIELDS[5:], numbers, strict=True)}
                        table.writerow({**keys, "start": place, "method": method, **shown})
                    file.flush()
                print(f"seed {seed}, {first + len(part)} of {len(ids)} windows", flush=True)
    show(options)


def read(table: Path) -> list[dict[str, str]]:
    """The table's lines."""
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def key_of(row: dict[str, str]) -> tuple[str, ...]:
    """What a line is about."""
    return tuple(row[name] for name in FIELDS[:5])


def mean_of(values: np.ndarray) -> str:
    """A mean with Student's 95 % interval."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} [{values.mean() - half:.3f}, {values.mean() + half:.3f}]"


def show(options: argparse.Namespace) -> None:
    """Print each method's area, and by how much AttnLRP is ahead on the same windows."""
    rows = read(options.table)
    for model in dict.fromkeys(row["model"] for row in rows):
        areas: dict[str, dict[tuple[str, str], float]] = {}
        for row in rows:
            if row["model"] == model:
                areas.setdefault(row["method"], {})[row["seed"], row["start"]] = float(row["area"])
        ours = areas.get("AttnLRP", {})
        print(f"\n{model}\n\n| method | area, logits | by seed | AttnLRP is ahead by | windows |")
        print("|---|---|---|---|---|")
        for method, found in areas.items():
            values = np.array(list(found.values()))
            seeds = sorted({seed for seed, _ in found})
            means = [np.mean([v for (s, _), v in found.items() if s == seed]) for seed in seeds]
            both = [key for key in found if key in ours]
            ahead = mean_of(np.array([ours[key] - found[key] for key in both]))
            by_seed = ", ".join(f"{mean:.2f}" for mean in means)
            lead = "" if method == "AttnLRP" else ahead
            print(f"| {method} | {mean_of(values)} | {by_seed} | {lead} | {len(values)} |")


def plain(network: torch.nn.Module, ids: Tensor, token: int) -> None:
    """A forward, and the gradient of a logit at the last position with respect to the embeddings."""
    leaves = Leaves(ids)
    leaves.gradients(logits_of(leaves.run(network))[0, -1, token])


def relevance(network: torch.nn.Module, ids: Tensor, token: int) -> None:
    """A forward, and relevance of the tokens for that logit."""
    last = torch.tensor([ids.shape[1] - 1])
    targets = xp.TokenTargets(torch.tensor([0]), last, torch.tensor([token]), torch.ones(1), 1)
    recording = Recording(network, ids, (), from_input=True)
    initial = initial_relevance(recording.logits, targets, "logit")
    recording.backward(ATTNLRP, initial, lambda *_: None, last=True)


def cost(options: argparse.Namespace) -> None:
    """Print how long attribution takes against a forward and an input gradient, measured in turns."""
    model = xp.open_language_model(options.model)
    network = model.model.requires_grad_(False)
    ids, _ = drawn(model, options.text, options.window, 1, 0)
    token = int(predicted(model, ids).tokens[0])
    text = model.tokenizer.decode(ids[0])
    calls = {
        "forward and input gradient": lambda: plain(network, ids, token),
        "forward and relevance": lambda: relevance(network, ids, token),
        "attribute_text": lambda: xp.attribute_text(model, text, target=options.target),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    base = times["forward and input gradient"][1:]
    print(f"{options.window} tokens, {options.repeats} rounds, {torch.get_num_threads()} threads")
    for name, values in times.items():
        ratios = [value / other for value, other in zip(values[1:], base, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        seconds = statistics.median(values[1:])
        print(f"{name}: {seconds:.2f} s, {middle:.2f} ({low:.2f} to {high:.2f}) of the first")


def memory(options: argparse.Namespace) -> None:
    """Print what a forward with relevance adds at its peak, and one with an input gradient."""
    if options.model.isdigit():
        import transformers

        config = transformers.LlamaConfig(**LLAMA_1B, num_hidden_layers=int(options.model))
        network = transformers.LlamaForCausalLM(config).eval().requires_grad_(False)
    else:
        network = xp.open_language_model(options.model).model.requires_grad_(False)
    ids = torch.randint(3, 1000, (1, options.tokens), generator=torch.Generator().manual_seed(0))
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    work = {"input gradient": plain, "relevance": relevance}[options.what]
    work(network, ids[:, :8], 5)  # libraries set up
    added = added_at_peak(lambda: work(network, ids, 5))
    print(
        f"{options.tokens} tokens, {options.what}: {added / 2**20:.0f} MiB beside {weights / 2**20:.0f} MiB"
    )


def main() -> None:
    """Measure or print; see the module's docstring."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    tasks = parser.add_subparsers(required=True)
    works = (flip, show, cost, memory)
    flipping, showing, costing, peak = parsers = [tasks.add_parser(work.__name__) for work in works]
    flipping.add_argument("name")
    for task in (flipping, costing):
        task.add_argument("model")
        task.add_argument("text", type=Path)
    for task in (flipping, showing):
        task.add_argument("table", type=Path)
    for task in (flipping, costing):
        task.add_argument("--window", type=int, default=64, help="tokens")
    flipping.add_argument("--windows", type=int, default=16, help="of each seed")
    flipping.add_argument("--seeds", type=int, default=3)
    flipping.add_argument("--steps", type=int, default=10)
    flipping.add_argument("--batch", type=int, default=8, help="windows in one forward")
    flipping.add_argument("--methods", nargs="+", choices=list(METHODS), default=["AttnLRP", *OTHERS])
    costing.add_argument("--repeats", type=int, default=7)
    costing.add_argument("--target", default="the")
    peak.add_argument("model", help="a folder, or a number of layers")
    peak.add_argument("tokens", type=int)
    peak.add_argument("--what", choices=("relevance", "input gradient"), default="relevance")
    for task, work in zip(parsers, works, strict=True):
        task.set_defaults(work=work)
    options = parser.parse_args()
    options.work(options)


if __name__ == "__main__":
    main()
