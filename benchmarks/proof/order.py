"""What the order is worth in which a layer's units are removed (``prune.order``): ``score`` or ``joint``."""

from __future__ import annotations

from benchmarks.proof.cases import Case, session_of
from benchmarks.proof.kept import COMPENSATE, ORDERS, chosen_search
from benchmarks.proof.rankings import OURS, TAYLOR, evaluator_of, ordered, planned, rankings
from benchmarks.proof.studies import COMPENSATED_JOINT, found
from benchmarks.proof.tables import Table, made_of
from xaiprune.comparison.evaluator import plain_figures
from xaiprune.comparison.methods import rank

NAME = "order"
ABOUT = (
    "Top-1 on all 1,200 test images at the case's rate, by ranking, compensation and the order in which a "
    "layer's units leave (score: each by its own; joint: by what consumers lose of all that leave, times it)"
)
CRITERIA = (TAYLOR, "integrated_gradients")


def run(case: Case, seed: int) -> None:
    """Measure what the first search and the best ones found, Taylor, integrated gradients and chance."""
    table, recipe = Table(NAME, ABOUT), found(case, seed).get(OURS)
    if recipe is None:
        return
    chosen = [stage for how in COMPENSATE if (stage := chosen_search(case, seed, how))]
    # The last is not the best where half is lost, but at lower rates.
    further = found(case, seed, dict.fromkeys(s for s in (*chosen, COMPENSATED_JOINT) if s.name != OURS))
    of = made_of(case, recipe, further, CRITERIA, COMPENSATE, case.compensation)
    if table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    session = session_of(case, seed)
    (ours, *others), _ = rank(session, OURS, recipe, (), CRITERIA, 1)
    methods = [ours, *rankings(session, further), *others]
    rows = []
    for compensate in COMPENSATE:
        evaluator = evaluator_of(case, seed, compensate)
        for order, stage in ORDERS.items():
            bench = ordered(evaluator.session, stage)
            for method in methods:
                plan = planned(bench, method, case.rate)
                figures = evaluator.figures_of(plan)
                print(f"  {method.name:<20} {compensate:<7} {order} {figures['top1']:.1%}", flush=True)
                rows.append(
                    {
                        "method": method.name,
                        "rate": case.rate,
                        "compensate": compensate,
                        "order": order,
                        **plain_figures(figures),
                    }
                )
    table.replace(case, seed, of, rows)
