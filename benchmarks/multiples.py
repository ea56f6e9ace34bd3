"""What multiples of channels bring in latency and cost in top-1: the shared networks, pruned by auto.

    python -m benchmarks.multiples plans               # once, minutes: the plans of every network
    python -m benchmarks.multiples latency             # ratios to the dense network, torch and ONNX Runtime
    python -m benchmarks.multiples top1 resnet18       # on the validation photographs of benchmarks.wide

Plans are those of ``recipe=auto`` on 300 references of many classes (seed 0 of `benchmarks.wide`). Latency is
timed in rounds, in each of which the dense network and those of one size run in turn; ratios are to the dense
forwards before and after. Median and quartiles over the rounds; in brackets the median ratio of processor
time, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.shared import SHARED, measured
from benchmarks.wide.cases import CASES, Case, session_of
from xaiprune.evaluation import macs
from xaiprune.pruning import Plan, export_onnx, remove_with_report
from xaiprune.units import copied, find_units

NETWORKS = ("resnet18", "vit_tiny-neurons", "lite0")
MULTIPLES = (1, 8, 16)
LEFT = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
FOLDER = Path("build", "multiples")
ENGINES = ("torch", "channels-last", "onnxruntime")

Forward = Callable[[], object]


def plan_file(case: Case, left: float, multiple: int) -> Path:
    return FOLDER / f"{case.name}-{left:g}-{multiple}.json"


def make_plans(case: Case) -> None:
    """Write the plans of one network, all from one ranking."""
    session = session_of(case, 0, ("recipe=auto",))
    scores = session.scores(session.recipe)
    sizes = [left for left in LEFT if case.rate(left) < 1]  # a ViT has more in it than neurons
    for left in sizes:
        for multiple in MULTIPLES:
            plan = session.plan_for(replace(session.recipe, multiple=multiple), case.rate(left), scores)
            plan.save(plan_file(case, left, multiple))
    print(f"{case.name}: {len(sizes) * len(MULTIPLES)} plans in {FOLDER}", flush=True)


def top1(case: Case, sizes: Sequence[float]) -> None:
    """Print top-1 on the validation photographs, with auto's compensation."""
    session = session_of(case, 0, ("recipe=auto",))
    dense = macs(session.model, session.example)
    print(f"\n{case.title}, {len(session.validation)} validation images, dense {session.dense_accuracy()}")
    for left in sizes:
        for multiple in MULTIPLES:
            plan = Plan.load(plan_file(case, left, multiple))
            smaller = session.under(session.recipe).remove(plan, check=False).model
            part = macs(smaller, session.example) / dense
            print(
                f"{left:g}  multiple {multiple:<2}  MACs x{part:.3f}  {session.accuracy(smaller)}", flush=True
            )


def time_all(case: Case, engine: str, batch: int, sizes: Sequence[float], rounds: int) -> None:
    """Print the latency ratios of one network's plans."""
    model = timm.create_model(case.weights).eval()
    model.load_state_dict({key: value.float() for key, value in load_file(_weights(case)).items()})
    example = torch.zeros(1, 3, 224, 224)
    units = find_units(model, case.units, example=example)
    dense = macs(model, example)
    images = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    whole = _forward(copied(model), engine, images, f"{case.name}-dense")
    for left in (left for left in sizes if case.rate(left) < 1):
        forwards, parts = {}, {}
        for multiple in MULTIPLES:
            plan = Plan.load(plan_file(case, left, multiple))
            smaller = remove_with_report(model, plan, units, example, check=False).model
            parts[multiple] = macs(smaller, example) / dense
            forwards[multiple] = _forward(smaller, engine, images, f"{case.name}-{left:g}-{multiple}")
        ratios = _ratios(whole, forwards, batch, rounds)
        cells = []
        for multiple, found in ratios.items():
            low, middle, high = statistics.quantiles([wall for wall, _ in found], n=4)
            busy = statistics.median(work for _, work in found)
            cells.append(f"{parts[multiple]:.2f} -> {middle:.2f} [{low:.2f}, {high:.2f}] ({busy:.2f})")
        print(f"| {case.name} | {engine} | {batch} | {left:g} | " + " | ".join(cells) + " |", flush=True)


def _ratios(
    dense: Forward, forwards: Mapping[int, Forward], batch: int, rounds: int
) -> dict[int, list[tuple[float, float]]]:
    """Multiple -> wall and processor time as parts of the dense network's, one pair a round."""
    ratios: dict[int, list[tuple[float, float]]] = {multiple: [] for multiple in forwards}
    for number in range(rounds + 1):
        order = list(forwards) if number % 2 else list(forwards)[::-1]
        before = _seconds(dense, batch)
        times = {multiple: _seconds(forwards[multiple], batch) for multiple in order}
        after = _seconds(dense, batch)
        wall, busy = ((a + b) / 2 for a, b in zip(before, after, strict=True))
        if number:  # the first round warms up
            for multiple, (seconds, work) in times.items():
                ratios[multiple].append((seconds / wall, work / busy))
    return ratios


def _weights(case: Case) -> Path:
    return SHARED / "weights" / f"{case.weights}.safetensors"


def _forward(model: nn.Module, engine: str, images: Tensor, name: str) -> Forward:
    """A call that runs a network once."""
    if engine == "onnxruntime":
        return _onnx(model, images, FOLDER / name)
    if engine == "channels-last":
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = images.to(memory_format=torch.channels_last)

    def forward() -> object:
        with torch.inference_mode():
            return model(images)

    return forward


def _onnx(model: nn.Module, images: Tensor, folder: Path) -> Forward:
    import onnxruntime

    if not (folder / "model.onnx").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        export_onnx(model, images[:1], folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"images": images.numpy()})


def _seconds(forward: Forward, batch: int) -> tuple[float, float]:
    """Wall and processor time of one forward; of a small batch medians of several."""
    walls, works = [], []
    for _ in range(7 if batch == 1 else 1):
        started, worked = time.perf_counter(), time.process_time()
        forward()
        walls.append(time.perf_counter() - started)
        works.append(time.process_time() - worked)
    return statistics.median(walls), statistics.median(works)


def _cases(names: Sequence[str]) -> Iterator[Case]:
    return (CASES[name] for name in names or NETWORKS)


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("plans", "latency", "top1"))
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NETWORKS)}; all")
    parser.add_argument("--left", nargs="+", type=float, default=list(LEFT), help="part of the MACs")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)

    def work() -> None:
        if asked.what == "latency":
            print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {asked.rounds} rounds")
            print("Ratios to the dense network: MACs -> latency [quartiles] (processor time)\n")
            columns = ["network", "engine", "batch", "MACs left", *(f"multiple {m}" for m in MULTIPLES)]
            print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        for case in _cases(asked.networks):
            if asked.what == "plans":
                make_plans(case)
            elif asked.what == "top1":
                top1(case, asked.left)
            else:
                for engine in asked.engines:
                    for batch in asked.batches:
                        time_all(case, engine, batch, asked.left, asked.rounds)

    return measured("benchmarks.multiples", work)


if __name__ == "__main__":
    sys.exit(main())
