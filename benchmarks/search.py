"""Trials a minute, beside the plain way of doing them.

    python -m benchmarks.search                       # the shared ResNet-18 and the digits ViT
    python -m benchmarks.search resnet18 --trials 24 --plain 3 --write

The plain way is what one writes first: every trial decodes and resizes its pictures again, attributes with
zennit (hooks on the modules, rule by rule, one composite a forward), masks units and classifies all
validation images. Ours is `xaiprune search`: decoded once, K trials a forward, our engine, racing, plans
known. Both have the same network, pictures, composites and rate, in one process on the same cores; the plain
way runs so many of the very trials that the search proposed. Shown are seconds a trial: the search's whole
time by its number of trials, the plain way's median.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from benchmarks.shared import SHARED
from xaiprune.attribution.lrp import AlphaBeta, Composite, Epsilon, Gamma, Rule, trace_layers
from xaiprune.config import compose
from xaiprune.errors import XaipruneError
from xaiprune.pruning import make_plan, masked
from xaiprune.study import counts, open_search, open_study, recipe_of, run_trials
from xaiprune.trial import SearchSetup, saved

RESULTS = Path("docs/results/search.md")
WAYS = {
    "search, one by one": ("search.batch=1", "pruner=none"),
    "search, batch of 8": ("search.batch=8", "pruner=none"),
    "search, batch of 8, racing": ("search.batch=8", "pruner=wilcoxon"),
    "the same in bfloat16": ("search.batch=8", "pruner=wilcoxon", "objective.precision=bfloat16"),
}


@dataclass(frozen=True)
class Case:
    """What is searched."""

    title: str
    overrides: tuple[str, ...]


CASES = {
    "resnet18": Case(
        "shared ResNet-18, inner filters at 0.4, 1000-way",
        (
            "model=resnet18",
            f"model.checkpoint={SHARED}/weights/resnet18.safetensors",
            "data=image_folder",
            f"data.root={SHARED}/imagenette",
            "data.task=all",
            "data.image_size=224",
            "data.crop_pct=1",
            "units=inner_filters",
            "prune.rate=0.4",
        ),
    ),
    "digits_vit": Case(
        "digits ViT, neurons and heads at 0.9",
        ("model=digits_vit", "data=digits", "units=neurons+heads", "prune.rate=0.9"),
    ),
}


def plain_trial(setup: SearchSetup, composite: Composite, start: str) -> None:
    """One trial as one writes it first; its result is not used, only its work."""
    data = setup.session.dataset
    images, labels = _decoded(setup, "reference"), data.reference.labels
    scores = _zennit_scores(setup, composite, images, labels, start)
    plan = make_plan(scores, setup.session.units, setup.config.prune.rate)
    validation, labels = _decoded(setup, "validation"), setup.session.validation.labels
    with masked(setup.session.model, plan, setup.session.units), torch.no_grad():
        for part, expected in zip(validation.split(50), labels.split(50), strict=True):
            (setup.session.task.select(setup.session.model(part)).argmax(1) == expected).sum().item()


def _decoded(setup: SearchSetup, split: str) -> Tensor:
    """The pictures of a split, from their files."""
    images = setup.session.validation if split == "validation" else setup.session.dataset.reference
    size = images.size
    if setup.config.data.root is None:  # digits: enlarged from what scikit-learn ships
        from sklearn.datasets import load_digits

        raw = load_digits().images[: len(images)]
        pictures = [Image.fromarray((digit * 15.9).astype(np.uint8)).convert("RGB") for digit in raw]
    else:
        root = Path(setup.config.data.root)
        folders = [root, root / split]
        paths = [next(f / file for f in folders if (f / file).is_file()) for file in images.files]
        pictures = [Image.open(path).convert("RGB") for path in paths]
    side = int(size[0])
    resized = np.stack([np.asarray(p.resize((side, side), Image.Resampling.BICUBIC)) for p in pictures])
    tensor = torch.from_numpy(resized).permute(0, 3, 1, 2).float().div_(255)
    mean, std = torch.tensor(images.mean).view(1, 3, 1, 1), torch.tensor(images.std).view(1, 3, 1, 1)
    return tensor.sub_(mean).div_(std)


def _zennit_scores(
    setup: SearchSetup, composite: Composite, images: Tensor, labels: Tensor, start: str
) -> dict[str, Tensor]:
    from zennit.attribution import Gradient
    from zennit.composites import NameMapComposite
    from zennit.torchvision import ResNetCanonizer

    model, canonizers = setup.session.model, []
    if setup.config.model.name == "resnet18":  # zennit canonizes torchvision's class only
        model = torchvision.models.resnet18()
        model.load_state_dict(setup.session.model.state_dict())
        model.eval()
        canonizers = [ResNetCanonizer()]
    rules = composite.resolve(trace_layers(setup.session.model, images[:1]))
    by_name = [([name], _zennit(rule)) for name, rule in rules.items()]
    sums: dict[str, Tensor] = {
        unit.name: torch.zeros(unit.units, dtype=torch.float64) for unit in setup.session.units
    }
    with Gradient(model, NameMapComposite(by_name, canonizers=canonizers)) as attributor:
        for part, expected in zip(images.split(50), labels.split(50), strict=True):
            kept: dict[str, Tensor] = {}
            handles = [
                model.get_submodule(unit.tap).register_forward_hook(_keep(kept, unit.name, unit.where))
                for unit in setup.session.units
            ]
            onehot = torch.eye(setup.session.model(part[:1]).shape[1])[setup.session.task.targets(expected)]
            attributor(part, onehot if start == "one" else lambda logits, o=onehot: logits.detach() * o)
            for handle in handles:
                handle.remove()
            for unit in setup.session.units:
                tensor = kept[unit.name]
                relevance = tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)
                dims = (2, 3) if relevance.ndim == 4 else (1,)
                per_image = relevance.sum(dims).abs().double().sum(0)
                sums[unit.name] += per_image.reshape(unit.units, -1).sum(1)
    return sums


def _keep(kept: dict[str, Tensor], name: str, where: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept[name] = inputs[0] if where == "input" else output
        kept[name].retain_grad()

    return hook


def _zennit(rule: Rule) -> object:
    from zennit import rules as z

    match rule:
        case Gamma():
            return z.Gamma(gamma=rule.gamma, stabilizer=1e-6)
        case AlphaBeta():
            return z.AlphaBeta(rule.alpha, rule.beta, stabilizer=1e-6)
        case Epsilon():
            return z.Epsilon(epsilon=max(rule.epsilon, 1e-9))
    return z.ZPlus(stabilizer=1e-6)


def run(name: str, trials: int, plain: int, ways: Sequence[str] = tuple(WAYS)) -> list[str]:
    """Measure a case in some of the ways; the lines of its table."""
    case = CASES[name]
    print(f"{name}: {case.title}", flush=True)
    rows: list[tuple[str, float, str]] = []
    contexts: list[tuple[SearchSetup, list[tuple[Composite, str]]]] = []
    with tempfile.TemporaryDirectory() as folder:
        for way in ways:
            config = compose(
                "search",
                [
                    "recipe=paper",
                    *case.overrides,
                    *("prune.order=score", "prune.compensate=none"),  # which the plain way has, too
                    *WAYS[way],
                    f"study.n_trials={trials}",
                    "study.name=benchmark",
                    f"study.storage=sqlite:///{folder}/{len(rows)}.db",
                ],
            )
            setup = open_search(config)
            study = open_study(setup)
            started = time.perf_counter()
            run_trials(study, setup)
            done = counts(study).done
            seconds = (time.perf_counter() - started) / done
            skipped, of = saved(study)
            note = f"racing saved {skipped / of:.0%} of the image evaluations" if skipped else ""
            best = f"best {study.best_value:.1%}"
            rows.append((way, seconds, "; ".join(filter(None, [best, note]))))
            print(f"  {way}: {seconds:.2f} s a trial, {rows[-1][2]}", flush=True)
            chosen = [recipe_of(trial) for trial in study.trials if "proposal" in trial.user_attrs]
            contexts.append((setup, [(p.composite, p.start) for p in chosen]))
        setup, recipes = contexts[-1]
        # Spread over the study: presets, random ones, the sampler's own.
        picked = [recipes[(2 * i + 1) * len(recipes) // (2 * plain)] for i in range(plain)]
        times = []
        for composite, start in picked:
            started = time.perf_counter()
            plain_trial(setup, composite, start)
            times.append(time.perf_counter() - started)
            print(f"  plain trial: {times[-1]:.2f} s", flush=True)
    reference = median(times)
    rows.append(("plain", reference, f"median of {plain}: {min(times):.1f} to {max(times):.1f} s"))
    images = (
        f"{len(setup.session.dataset.reference)} reference, {len(setup.session.validation)} validation images"
    )
    lines = [f"## {case.title}", "", f"{images}; {done} trials, {trials} of them beyond the presets.", ""]
    lines += ["| way | s a trial | trials a minute, plain = 1 | |", "|---|---|---|---|"]
    lines += [
        f"| {way} | {seconds:.2f} | {reference / seconds:.1f} | {note} |" for way, seconds, note in rows
    ]
    return [*lines, ""]


def main(words: Sequence[str] | None = None) -> int:
    """Parse the command line and run every case asked for."""
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help=f"of {', '.join(CASES)}; all")
    parser.add_argument("--trials", type=int, default=32, help="beyond the presets")
    parser.add_argument("--plain", type=int, default=3, help="trials of the plain way")
    numbers = ", ".join(f"{i}: {way}" for i, way in enumerate(WAYS))
    parser.add_argument(
        "--ways", nargs="+", type=int, choices=range(len(WAYS)), help=f"only these; {numbers}"
    )
    parser.add_argument("--write", action="store_true", help=f"store the tables in {RESULTS}")
    arguments = parser.parse_args(words)
    head = f"torch {torch.__version__}, {torch.get_num_threads()} threads, CPU ({platform.machine()})"
    print(head)
    lines = [
        "# Search: what trials cost",
        "",
        f"`python -m benchmarks.search {' '.join(words)}`: {head}.",
        "",
    ]
    try:
        for name in arguments.cases or CASES:
            if name == "resnet18" and not SHARED.is_dir():
                raise XaipruneError(
                    f"{SHARED} is missing; XAIPRUNE_SHARED_DATA says where the shared data are"
                )
            ways = [way for i, way in enumerate(WAYS) if arguments.ways is None or i in arguments.ways]
            lines += run(name, arguments.trials, arguments.plain, ways)
    except XaipruneError as error:
        print(f"benchmarks.search: {error}", file=sys.stderr)
        return 2
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        RESULTS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
