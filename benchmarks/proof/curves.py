"""Does optimising LRP pay? Accuracy-rate curves of all methods on the test split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.proof.bench import CRITERIA, CURVE_IMAGES, RANDOM, curve_images, meter_of, methods_of
from benchmarks.proof.cases import Case
from benchmarks.proof.studies import found
from benchmarks.proof.tables import Table, made_of
from xaiprune.attribute import PRESETS
from xaiprune.evaluate import paired
from xaiprune.search.meter import Meter, right_images
from xaiprune.search.methods import Method

NAME = "curves"
ABOUT = (
    "Top-1 on test images after pruning, no fine-tuning, no compensation. part=target: all 1,200 at the rate "
    f"that was searched; part=curve: {CURVE_IMAGES} of them. p: McNemar's exact test against the first method"
)


def run(case: Case, seed: int) -> None:
    """Measure all methods of one case and seed."""
    table = Table(NAME, ABOUT)
    ours = found(case, seed)
    of = made_of(case, ours, list(PRESETS), CRITERIA, RANDOM, CURVE_IMAGES)
    if not ours or table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    table.replace(case, seed, of, rows(meter_of(case, seed), methods_of(case, seed), case.rates))


def rows(meter: Meter, methods: tuple[Method, ...], rates: tuple[float, ...]) -> Iterator[dict[str, Any]]:
    """A row a measurement: the target rate on all test images, the curve on a part."""
    part, target = curve_images(meter), meter.bench.config.prune.rate
    for images, name in ((None, "target"), (part, "curve")):
        yield _row("dense", "dense", name, 0.0, meter.figures(methods[0], 0.0, images))
    first = None
    for method in methods:
        figures = meter.figures(method, target)
        first = right_images(figures) if first is None else first
        p = None if method.kind == "random" else paired(first, right_images(figures)).p
        print(f"  {method.name:<28} {figures['top1']:.1%} at {target:g}", flush=True)
        yield _row(method.name, method.kind, "target", target, figures, method.seed, p)
    for method in methods:
        for rate in rates:
            figures = meter.figures(method, rate, part)
            yield _row(method.name, method.kind, "curve", rate, figures, method.seed)
        print(f"  {method.name:<28} curve done", flush=True)


def _row(
    method: str,
    kind: str,
    part: str,
    rate: float,
    figures: dict[str, Any],
    ranking_seed: int | None = None,
    p: float | None = None,
) -> dict[str, Any]:
    kept = {key: figures[key] for key in ("top1", "low", "high", "correct", "total")}
    return {
        "method": method,
        "kind": kind,
        "part": part,
        "rate": rate,
        **kept,
        "p": p,
        "ranking_seed": ranking_seed,
    }
