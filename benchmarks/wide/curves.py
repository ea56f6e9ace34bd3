"""Top-1 on the test images over the MACs that are left, for every method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.proof.tables import Table
from benchmarks.wide.cases import PACKAGE, RESULTS, STUDIES, Case
from benchmarks.wide.methods import OURS, compensated, methods_of
from benchmarks.wide.searches import MACS_LEFT, found
from xaiprune.comparison.evaluator import TestEvaluator, plain_figures, right_images
from xaiprune.comparison.methods import Method, NetworkMethod
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import paired

NAME = "curves"
ABOUT = (
    "Top-1 of 1,000 classes on all 1,000 test images of wide (bfloat16), no fine-tuning; macs: part of the "
    "dense network's; p: McNemar's exact test against the first method at the same macs"
)
LEFT = (0.95, 0.9, 0.8, MACS_LEFT, 0.6, 0.5, 0.4)
_USELESS = 0.1  # of the dense network's top-1: below it a curve is not followed any further


def evaluator_of(case: Case, seed: int) -> TestEvaluator:
    """Keeps what it has measured, so that a stopped run goes on from there."""
    folder = STUDIES / "measured" / f"{case.name}-s{seed}"
    return TestEvaluator(compensated(case, seed), folder, "bfloat16")


def run(case: Case, seed: int) -> None:
    """Measure all methods of one case and seed."""
    table, recipe = Table(NAME, ABOUT, RESULTS, PACKAGE), found(case, seed)
    of = "without a search" if recipe is None else recipe.key
    if table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    table.replace(case, seed, of, list(_rows(case, seed)))


def _rows(case: Case, seed: int) -> Iterator[dict[str, Any]]:
    evaluator = evaluator_of(case, seed)
    methods, left_out = methods_of(case, seed)
    for name, reason in left_out.items():
        print(f"  {name} is left out: {reason}", flush=True)
    dense = evaluator.figures(methods[0], 0.0)  # type: ignore[arg-type]  # the first is ours
    yield {"method": "dense", "kind": "dense", "left": 1.0, "macs": 1.0, **plain_figures(dense)}
    first: dict[float, dict[str, Any]] = {}
    for method in methods:
        for left in LEFT:
            try:
                figures = _measured(evaluator, method, case, left)
            except XaipruneError as error:  # works at some sizes only
                print(f"  {method.name} at {left:g}: {error}", flush=True)
                continue
            print(f"  {method.name:<24} {figures['macs']:.3f} {figures['top1']:.1%}", flush=True)
            mine = first.setdefault(left, figures)
            p = paired(right_images(mine), right_images(figures)).p
            yield {
                "method": method.name,
                "kind": method.kind,
                "left": left,
                "macs": figures["macs"],
                **plain_figures(figures),
                "p": p,
            }
            if figures["top1"] < _USELESS * dense["top1"] and left <= MACS_LEFT and method.name not in OURS:
                break


def _measured(
    evaluator: TestEvaluator, method: Method | NetworkMethod, case: Case, left: float
) -> dict[str, Any]:
    if isinstance(method, NetworkMethod):
        return evaluator.figures_at_macs(method, left)
    plan = method.plan(evaluator.session, case.rate(left))
    figures = evaluator.figures_of(plan, session=method.under(evaluator.session))
    return {**figures, "macs": evaluator.costs(plan)["macs"]}
