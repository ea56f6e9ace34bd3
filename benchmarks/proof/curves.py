"""Does optimising LRP pay? Accuracy-rate curves of all methods on the test split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.proof.cases import Case
from benchmarks.proof.rankings import (
    CRITERIA,
    CURVE_IMAGES,
    OURS,
    RANDOM,
    curve_images,
    evaluator_of,
    methods_of,
)
from benchmarks.proof.studies import found
from benchmarks.proof.tables import PRESET_NAMES, Table, made_of
from xaiprune.comparison.evaluator import TestEvaluator, plain_figures, right_images
from xaiprune.comparison.methods import Method
from xaiprune.evaluation import paired

NAME = "curves"
ABOUT = (
    "Top-1 on test images after pruning, no fine-tuning, no compensation. part=target: all 1,200 at the rate "
    f"that was searched; part=curve: {CURVE_IMAGES} of them. p: McNemar's exact test against the first method"
)


def run(case: Case, seed: int) -> None:
    """Measure all methods of one case and seed."""
    table = Table(NAME, ABOUT)
    ours = found(case, seed)
    of = made_of(case, ours, PRESET_NAMES, CRITERIA, RANDOM, CURVE_IMAGES)
    if OURS not in ours or table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    everyone = seed == case.seeds[0]
    found_rows = rows(evaluator_of(case, seed), methods_of(case, seed), case.rates, everyone=everyone)
    table.replace(case, seed, of, list(found_rows))


def rows(
    evaluator: TestEvaluator, methods: Sequence[Method], rates: Sequence[float], *, everyone: bool
) -> Iterator[dict[str, Any]]:
    """A row a measurement: the target rate on all test images, the curve on a part.

    Args:
        evaluator: Of the case and seed.
        methods: The first is what others are paired with.
        rates: Of the curves.
        everyone: Whether all methods get a curve, or only ours and the two strongest others.
    """
    part, target = curve_images(evaluator), evaluator.session.prune.rate
    for images, name in ((None, "target"), (part, "curve")):
        yield _row("dense", "dense", name, 0.0, evaluator.figures(methods[0], 0.0, images))
    at_target = {}
    for method in methods:
        figures = at_target[method.name] = evaluator.figures(method, target)
        p = None
        if method.kind != "random":
            p = paired(right_images(at_target[methods[0].name]), right_images(figures)).p
        print(f"  {method.name:<28} {figures['top1']:.1%} at {target:g}", flush=True)
        yield _row(method.name, method.kind, "target", target, figures, method.seed, p)
    others = [method for method in methods if method.kind != "best"]
    others.sort(key=lambda method: -at_target[method.name]["top1"])
    strongest = {method.name for method in others[:2]}
    along = [m for m in methods if everyone or m.kind == "best" or m.name in strongest]
    for method in along:
        for rate in rates:
            figures = evaluator.figures(method, rate, part)
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
    return {
        "method": method,
        "kind": kind,
        "part": part,
        "rate": rate,
        **plain_figures(figures),
        "p": p,
        "ranking_seed": ranking_seed,
    }
