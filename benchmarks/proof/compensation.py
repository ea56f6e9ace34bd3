"""Compensation: the same rankings with nothing, the mean or a linear prediction for the removed units."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.proof.cases import Case, session_of
from benchmarks.proof.kept import COMPENSATE, SEARCH, chosen_search
from benchmarks.proof.rankings import OURS, TAYLOR, curve_images, evaluator_of, ordered, planned, rankings
from benchmarks.proof.studies import DEPTH_GROUPS, JOINT, Stage, found
from benchmarks.proof.tables import Table, made_of, read
from xaiprune.comparison import Method
from xaiprune.comparison.evaluator import plain_figures
from xaiprune.evaluation import cost
from xaiprune.recipe import PRESETS

NAME, SEARCHED_SO = "compensation", "compensation_searched"
ABOUT = (
    "Top-1 on 400 test images by rate and compensation (100 references, no labels, no training; fitted layer "
    "by layer in CNNs, all layers at once in the ViT), with what is left of parameters and multiply-adds in "
    "the network made smaller"
)
ABOUT_SEARCHED = (
    "As compensation.csv: Taylor in the joint order (prune.order), and the best search where the strongest "
    "preset has lost half (by its validation images) under the compensation and in the order of that search"
)
METHODS = ("none", "mean", "linear")


def run(case: Case, seed: int) -> None:
    """Measure the best found and Taylor under each compensation."""
    table, recipe = Table(NAME, ABOUT), found(case, seed).get(OURS)
    if recipe is None:
        return
    of = made_of(case, recipe, METHODS, case.compensation)
    if table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    rows = []
    for method in rankings(session_of(case, seed), {OURS: recipe, TAYLOR: PRESETS[TAYLOR]}):
        rows += _curves(case, seed, method, DEPTH_GROUPS, METHODS)
    table.replace(case, seed, of, rows)


def run_searched(case: Case, seed: int) -> None:
    """Measure Taylor in the joint order, and the best searches as they were made."""
    table = Table(SEARCHED_SO, ABOUT_SEARCHED)
    chosen = {compensate: chosen_search(case, seed, compensate) for compensate in COMPENSATE}
    searches = {compensate: stage for compensate, stage in chosen.items() if stage is not None}
    recipes = found(case, seed, searches.values())
    if case.half_rate is None or not searches:
        return
    of = made_of(case, recipes, {c: stage.name for c, stage in searches.items()}, case.compensation)
    if table.has(case, seed, of):
        return
    print(f"{SEARCHED_SO}: {case.name}, seed {seed}", flush=True)
    ranked = rankings(session_of(case, seed), {TAYLOR: PRESETS[TAYLOR], **recipes})
    methods = {method.name: method for method in ranked}
    rows = [{"kind": TAYLOR, **row} for row in _curves(case, seed, methods[TAYLOR], JOINT, COMPENSATE)]
    for compensate, stage in searches.items():
        found_rows = _curves(case, seed, methods[stage.name], stage, (compensate,))
        rows += [{"kind": SEARCH, **row} for row in found_rows]
    table.replace(case, seed, of, rows)


def curves() -> pd.DataFrame:
    """What both parts have measured; best searches go by one name, whichever it was."""
    frame, searched = read(NAME), read(SEARCHED_SO)
    if not len(searched):
        return frame
    named = searched.kind.map({TAYLOR: "taylor, joint order", SEARCH: "best search"})
    return pd.concat([frame, searched.assign(method=named)], ignore_index=True)


def _curves(
    case: Case, seed: int, method: Method, stage: Stage, compensations: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Top-1 and costs of a ranking by rate and compensation, in the order of a search."""
    session = session_of(case, seed)
    part, dense = curve_images(evaluator_of(case, seed)), cost(session.model, session.reference_images[:1])
    rows = []
    for rate in case.rates:
        # How many units each layer gives up is the same in either order, and so is the cost.
        plan = planned(session, method, rate)
        smaller = cost(
            session.with_prune(compensate="none").pruned(plan, smaller=True).model,
            session.reference_images[:1],
        )
        for compensate in compensations:
            evaluator = evaluator_of(case, seed, compensate)
            bench = ordered(evaluator.session, stage)
            plan = planned(bench, method, rate)
            figures = evaluator.figures_of(plan, part)
            print(f"  {method.name:<20} {rate:g} {compensate:<7} {figures['top1']:.1%}", flush=True)
            rows.append(
                {
                    "method": method.name,
                    "rate": rate,
                    "compensate": compensate,
                    **plain_figures(figures),
                    "params": smaller.params / dense.params,
                    "macs": smaller.macs / dense.macs,
                }
            )
    return rows
