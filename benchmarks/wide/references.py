"""What the references are worth: how many, of how many classes, and with or without labels."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.proof.tables import Table
from benchmarks.shared import SHARED
from benchmarks.wide.cases import PACKAGE, REFERENCES, RESULTS, STUDIES, Case, session_of
from benchmarks.wide.searches import MACS_LEFT
from xaiprune.comparison.evaluator import TestEvaluator, plain_figures
from xaiprune.recipe import auto_recipe

NAME = "references"
ABOUT = (
    f"recipe=auto at {MACS_LEFT:g} of the MACs, by its references: top-1 of 1,000 classes on all 1,000 test "
    "images of wide (bfloat16); without labels relevance starts at the predicted class"
)
_COUNTS = (30, 100)  # and all, with and without labels


def run(case: Case, seed: int) -> None:
    """Measure one case and seed."""
    table = Table(NAME, ABOUT, RESULTS, PACKAGE)
    if table.has(case, seed, NAME):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    rows = [
        _row(case, seed, f"{count} of many classes", references=count) for count in (*_COUNTS, REFERENCES)
    ]
    rows.append(_row(case, seed, f"{REFERENCES} without labels", ("attribution.target=predicted",)))
    narrow = f"{os.path.relpath(SHARED)}/imagenette"
    for each, title in ((60, "600 of ten classes"), (10, "100 of ten classes")):
        more = (
            f"data.reference_root={narrow}/reference",
            f"data.reference_per_class={each}",
            f"data.seed={seed}",
        )
        rows.append(_row(case, seed, title, more))
    table.replace(case, seed, NAME, rows)


def _row(
    case: Case, seed: int, title: str, more: tuple[str, ...] = (), references: int = REFERENCES
) -> dict[str, Any]:
    session = session_of(case, seed, more, references)
    recipe = auto_recipe(session.model, session.units, session.example)
    under = session.under(recipe).with_prune(budget="macs")
    plan = under.plan(session.scores(recipe), case.rate(MACS_LEFT))
    kind = title.replace(" ", "_")
    evaluator = TestEvaluator(under, STUDIES / "measured" / f"{case.name}-s{seed}-{kind}", "bfloat16")
    figures = evaluator.figures_of(plan, session=under)
    print(f"  {title:<26} {figures['top1']:.1%}", flush=True)
    return {
        "references": title,
        "count": len(session.dataset.reference),
        "classes": len(session.dataset.reference.labels.unique()),
        "macs": evaluator.costs(plan)["macs"],
        **plain_figures(figures),
    }
