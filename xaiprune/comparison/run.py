"""The final comparison: the study's best against presets and baselines, on the test split.

The test split is touched here (through `TestEvaluator`) and nowhere else. Every method ranks the same units with the
same reference images, prunes with the same settings and is measured on the same test images. Showing the
result (table, curves) is the report room's: ``xaiprune.report.show_comparison(comparison, out_dir)``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xaiprune.attribution import Scores
from xaiprune.attribution.lrp.composite_io import composite_to_dict
from xaiprune.comparison import table as kept
from xaiprune.comparison.evaluator import TestEvaluator, curve_part, plain_figures, right_images, short_hash
from xaiprune.comparison.methods import PRESETS, Method, known_criteria, known_presets, rank
from xaiprune.comparison.table import COLUMNS, Comparison
from xaiprune.data import progress
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import paired
from xaiprune.recipe.recipe import Recipe
from xaiprune.session.session import Context

log = logging.getLogger(__name__)

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CRITERIA = ("taylor", "activation", "magnitude_l1")
SEEDS = 3
BEST = "best found"


def compare_on_test(
    bench: Context,
    best: Recipe,
    out_dir: Path,
    *,
    name: str = BEST,
    rates: Sequence[float] = RATES,
    presets: Sequence[str] | None = None,
    criteria: Sequence[str] | None = CRITERIA,
    seeds: int = SEEDS,
    measured_in: Path | None = None,
) -> Comparison:
    """Measure the best found, the presets, the criteria and chance on the test split.

    What was compared for the same best, network, images and settings is read back from ``out_dir``, and no
    plan is ever measured twice.

    Args:
        bench: Network, images, units and pruning settings.
        best: Composite, start and aggregation of the study's best trial.
        out_dir: Where ``comparison.csv``, ``comparison.json`` and ``summary.csv`` go.
        name: What the best goes by.
        rates: Of the curves, in [0, 1), rising.
        presets: Names of presets; None: all.
        criteria: Names of baseline criteria; None: all.
        seeds: How many random rankings.
        measured_in: Folder that remembers what was measured; comparisons of one study share it. None:
            ``out_dir``.

    Returns:
        The figures. A method that this network cannot have is in ``left_out`` with its reason.

    Raises:
        XaipruneError: Unknown preset or criterion, or the best composite does not fit the network.
    """
    if any(later <= earlier for earlier, later in pairwise(rates)):
        raise XaipruneError(f"the rates of a comparison must rise, got {list(rates)}")
    names, others = known_presets(presets), known_criteria(criteria)
    evaluator = TestEvaluator(bench, measured_in or out_dir)
    key = _key(bench, evaluator.depends_on, name, best, rates, names, others, seeds, bench.config.prune.rate)
    if (found := kept.load(out_dir, key)) is not None:
        return found
    ranked, left_out = rank(bench, name, best, names, others, seeds)
    test = bench.dataset.test
    part = curve_part(test)
    within = [rate for rate in rates if _reachable(bench, ranked[0].scores, rate)]
    if len(within) < len(rates):
        out = ", ".join(f"{rate:g}" for rate in rates if rate not in within)
        left_out["rates " + out] = f"with prune.min_units={bench.config.prune.min_units} too few units may go"
    # Often longer than the search itself, and a bar shows on terminals only.
    log.info(
        "comparing %d rankings%s: all %d test images at rate %g, %d of them at %d rates",
        len(ranked),
        f" of {bench.config.prune.rounds} rounds each" if bench.config.prune.rounds > 1 else "",
        *(len(test), bench.config.prune.rate, len(part), len(within)),
    )
    frame, against = _measure(evaluator, ranked, within, part)
    config = bench.config
    comparison = Comparison(
        frame=frame,
        network=config.model.name,
        units=config.units.kind,
        unit_count=sum(unit.units for unit in bench.units),
        rate=config.prune.rate,
        chance=1 / len(bench.dataset.task.classes),
        test_images=len(test),
        curve_images=len(part),
        left_out=left_out,
        against=against,
    )
    kept.save(comparison, out_dir, key)
    return comparison


def _measure(
    evaluator: TestEvaluator, ranked: Sequence[Method], rates: Sequence[float], part: list[int]
) -> tuple[pd.DataFrame, dict[str, dict[str, int]]]:
    """All rows: each method at the target rate on every test image, and along the rates on ``part``.

    Also how the first method and each other (but chance) disagree at the target rate, image by image.
    """
    test, target = evaluator.test, evaluator.bench.config.prune.rate
    curve_images = test if len(part) == len(test) else test.subset(part)
    best = ranked[0]
    rows = [_row("dense", "dense", "target", 0.0, evaluator.figures(best, 0.0))]
    rows.append(_row("dense", "dense", "curve", 0.0, evaluator.figures(best, 0.0, curve_images)))
    right: dict[str, np.ndarray] = {}
    for method, rate, is_target in progress(
        list(_steps(ranked, rates, target)), "comparing on the test images"
    ):
        found = evaluator.figures(method, rate, test if is_target else curve_images)
        place = "target" if is_target else "curve"
        rows.append(_row(method.name, method.kind, place, rate, found, method.seed))
        if is_target and method.kind != "random":
            right[method.name] = right_images(found)
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"seed": "Int64"})
    mine = right.pop(best.name)
    return frame, {name: asdict(paired(mine, theirs)) for name, theirs in right.items()}


def _steps(
    ranked: Sequence[Method], rates: Sequence[float], target: float
) -> Iterator[tuple[Method, float, bool]]:
    for method in ranked:
        yield method, target, True
        for rate in rates:
            yield method, rate, False


def _reachable(bench: Context, scores: Scores, rate: float) -> bool:
    """Whether the floor of units that each layer keeps lets the rate be reached, whatever the ranking."""
    try:
        bench.plan(scores, rate)
    except XaipruneError:
        return False
    return True


def _row(
    method: str, kind: str, part: str, rate: float, figures: dict[str, Any], seed: int | None = None
) -> dict[str, Any]:
    measured = plain_figures(figures)
    return {"method": method, "kind": kind, "part": part, "rate": rate, **measured, "seed": seed}


def _key(
    bench: Context,
    depends_on: Mapping[str, Any],
    name: str,
    best: Recipe,
    rates: Sequence[float],
    presets: Sequence[str],
    criteria: Sequence[str],
    seeds: int,
    rate: float,
) -> str:
    """Everything that a comparison depends on, as one short text."""

    def recipe(of: Recipe) -> dict[str, Any]:
        return {**of.to_dict(), "composite": composite_to_dict(of.composite.renamed(""))}

    return short_hash(
        {
            **depends_on,
            "reference": bench.dataset.reference.fingerprint(),
            "rate": rate,
            "best": {name: recipe(best)},
            "presets": {preset: recipe(PRESETS[preset]) for preset in presets},
            "criteria": list(criteria),
            "rates": list(rates),
            "seeds": seeds,
            # Said only where it is not as ever: comparisons from before there was an order are still known.
            **({} if bench.config.prune.order == "score" else {"order": bench.config.prune.order}),
        }
    )
