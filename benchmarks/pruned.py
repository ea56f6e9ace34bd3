"""Accuracy, parameters, MACs and latency of the shared networks, pruned at several rates.

    python -m benchmarks.pruned                       # every network, rates 0.2 to 0.8
    python -m benchmarks.pruned resnet18 --rates 0.4 --limit 300 --no-latency
    python -m benchmarks.pruned --removal             # how long removal takes; latency of a smaller network

Ranking: plain Taylor on the reference images. Top-1 is over the validation split, 1000-way (10-way for
VGG), with its 95 % interval; latency ratios are pruned / dense, measured one after the other.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import timm
import torch

from benchmarks.latency import in_turn
from benchmarks.shared import SHARED
from xaiprune.attribution.criteria import criterion
from xaiprune.config import DataConfig, ModelConfig
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import accuracy, cost, latency
from xaiprune.models import Setup, setup
from xaiprune.pruning import apply_plan, make_plan, remove_with_report, statistics_of
from xaiprune.units import find_units

RATES = (0.2, 0.4, 0.6, 0.8)
METHODS = ("none", "mean one-shot", "mean sequential", "linear one-shot", "linear sequential")
# timm's name, unit kind, rate: what removal alone is timed on
REMOVALS = (
    ("resnet18", "inner_filters", 0.4),
    ("resnet50", "inner_filters", 0.5),
    ("vit_base_patch16_224", "neurons+heads", 0.5),
)


@dataclass(frozen=True)
class Case:
    """One network and the units that leave it."""

    model: str
    checkpoint: str
    units: str
    task: str = "all"
    kwargs: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


CASES = {
    "resnet18": Case("resnet18", "resnet18", "inner_filters"),
    "vit_tiny": Case("vit_tiny_patch16_224", "vit_tiny_patch16_224", "neurons"),
    "vit_tiny_heads": Case("vit_tiny_patch16_224", "vit_tiny_patch16_224", "heads"),
    "vgg11_bn_64": Case(
        "vgg11_bn",
        "vgg11_bn_64",
        "inner_filters",
        "classes",
        {"num_classes": 10, "mlp_ratio": 0.125},
        {"image_size": 64, "resize": 72, "interpolation": "bicubic", "label_space": "folders"},
    ),
}


def open_case(case: Case, references: int = 100) -> Setup:
    """The shared network and photographs of a case; ``references`` images in all ten classes together."""
    if not SHARED.is_dir():
        raise XaipruneError(f"{SHARED} is missing; XAIPRUNE_SHARED_DATA says where the shared data are")
    data = {"label_space": "imagenet-1k", "image_size": 224, "crop_pct": 1.0, **case.data}
    return setup(
        ModelConfig(
            name=case.model,
            checkpoint=str(SHARED / "weights" / f"{case.checkpoint}.safetensors"),
            kwargs=dict(case.kwargs),
        ),
        DataConfig(
            source="image_folder",
            root=str(SHARED / "imagenette"),
            task=case.task,
            reference_per_class=references // 10,
            **data,
        ),
        device="cpu",
    )


def run(name: str, rates: list[float], methods: list[str], limit: int | None, timed: bool) -> None:
    """Print one network's table."""
    case = CASES[name]
    opened = open_case(case)
    model, data = opened.model, opened.data
    validation = data.validation if limit is None else _spread(data.validation, limit)
    example = opened.example()
    units = find_units(model, case.units, example=example)
    images, labels = data.reference.tensor(), data.reference.labels
    scores = criterion("taylor")(model, images, labels, units, data.task)
    dense = accuracy(model, validation, data.task)
    before = cost(model, example)
    print(f"\n{name}: {sum(layer.units for layer in units)} {case.units}, {len(images)} reference images")
    print(f"dense: top-1 {dense}; {before}")
    dense_times = [latency(model, example, batch) for batch in (1, 32)] if timed else []
    for measured in dense_times:
        print(f"dense: {measured}")
    statistics = statistics_of(model, units, images)
    for rate in rates:
        try:
            plan = make_plan(scores, units, rate)
        except XaipruneError as error:  # few units in each layer, as with heads
            print(f"rate {rate:.1f}  {error}", flush=True)
            continue
        for method in methods:
            kind, _, how = method.partition(" ")
            started = time.perf_counter()
            smaller = apply_plan(
                model,
                plan,
                units,
                images,
                example,
                compensate=kind,
                sequential=how == "sequential",
                statistics=statistics,
            ).model
            seconds = time.perf_counter() - started
            found = accuracy(smaller, validation, data.task)
            print(f"rate {rate:.1f}  {method:<18} top-1 {found}, made in {seconds:.1f} s", flush=True)
        after = cost(smaller, example)
        line = f"params x{after.params / before.params:.2f}, MACs x{after.macs / before.macs:.2f}"
        for measured in dense_times:
            now = latency(smaller, example, measured.batch)
            line += f", latency at batch {measured.batch} x{now.median / measured.median:.2f}"
        print(f"rate {rate:.1f}  smaller network: {line}", flush=True)


def run_removal(repeats: int) -> None:
    """Print how long removal alone takes, with random weights and a random ranking."""
    for name, kind, rate in REMOVALS:
        torch.manual_seed(0)
        model = timm.create_model(name).eval()
        example = torch.zeros(1, 3, 224, 224)
        units = find_units(model, kind, example=example)
        plan = make_plan({layer.name: torch.rand(layer.units) for layer in units}, units, rate)
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for check in [True, False] * repeats:
            started = time.perf_counter()
            remove_with_report(model, plan, units, example, check=check)
            seconds[check].append(time.perf_counter() - started)
        checked, unchecked = (sorted(seconds[check]) for check in (True, False))
        print(
            f"removal  {name}, {kind} at {rate:g}: median {checked[len(checked) // 2]:.2f} s "
            f"({checked[0]:.2f} to {checked[-1]:.2f}, {repeats} times), "
            f"{unchecked[len(unchecked) // 2]:.2f} s without its own check",
            flush=True,
        )


def run_speed(rate: float = 0.5) -> None:
    """Print the latency of ResNet-18 with a part of each layer's inner filters gone, against dense."""
    model = timm.create_model("resnet18").eval()
    example = torch.zeros(1, 3, 224, 224)
    units = find_units(model, "inner_filters", example=example)
    plan = make_plan({layer.name: torch.rand(layer.units) for layer in units}, units, rate, scope="layer")
    smaller = remove_with_report(model, plan, units, example).model
    before, after = cost(model, example), cost(smaller, example)
    print(f"resnet18, {rate:g} of each layer's inner filters removed: MACs x{after.macs / before.macs:.2f}")
    for batch in (1, 32):
        rounds = in_turn(model, smaller, example, batch)
        ratios = sorted(small.median / dense.median for dense, small in rounds)
        dense, small = rounds[-1]
        print(
            f"batch {batch}: latency x{ratios[2]:.2f} of dense ({ratios[0]:.2f} to {ratios[-1]:.2f} in five "
            f"rounds); last round: dense {dense}, smaller {small}",
            flush=True,
        )


def _spread(images: Any, limit: int) -> Any:
    """Evenly spread images, so that every class is there."""
    return images.subset(torch.arange(len(images))[:: max(1, len(images) // limit)][:limit])


def main() -> int:
    """Parse the command line and run every case asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", choices=[*CASES, []], help=f"of {', '.join(CASES)}; all")
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--limit", type=int, help="use so many validation images")
    parser.add_argument("--removal", action="store_true", help="time removal alone, and a smaller ResNet-18")
    parser.add_argument("--no-latency", action="store_true")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, CPU")
    try:
        if arguments.removal:
            run_removal(repeats=3)
            run_speed()
            return 0
        for name in arguments.networks or CASES:
            run(name, arguments.rates, arguments.methods, arguments.limit, not arguments.no_latency)
    except XaipruneError as error:
        print(f"benchmarks.pruned: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
