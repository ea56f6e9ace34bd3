"""How much can go: the highest rate that keeps 95 % of the dense accuracy, and where half of it is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import pandas as pd

from benchmarks.proof.cases import Case, session_of
from benchmarks.proof.rankings import OURS, TAYLOR, curve_images, evaluator_of, ordered, planned, rankings
from benchmarks.proof.studies import (
    BALANCE,
    COMPENSATED,
    COMPENSATED_BALANCE,
    COMPENSATED_FINER,
    COMPENSATED_JOINT,
    COMPENSATED_SIGNED,
    DEPTH_GROUPS,
    FINER,
    JOINT,
    JOINT_BALANCE,
    SIGNED,
    SIGNED_BALANCE,
    TAYLOR_BALANCE,
    TAYLOR_JOINT,
    Stage,
    finished,
    found,
)
from benchmarks.proof.tables import PRESET_NAMES, Table, made_of
from xaiprune.comparison import Method
from xaiprune.comparison.evaluator import TestEvaluator, plain_figures
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS
from xaiprune.study import best_trial

NAME, HALF = "kept", "half"
ABOUT = (
    "The highest rate (steps of 0.01, bisection over nested plans) at which 400 test images keep 95 % of the "
    "dense top-1, by ranking, compensation and the order in which a layer's units leave"
)
ABOUT_HALF = (
    "At the rate where the strongest preset (Taylor among them) has lost half of the dense top-1 (steps of "
    "0.01, on 400 test images, with the first seed): all 1,200 test images for it, for it in the joint order "
    "(prune.order=joint), for the strongest LRP preset summed with its sign in the joint order (kind signed: "
    "chosen likewise, at the same rate) and for what searches found (validation: their own score, where they "
    "were scored as it is measured); linear: layer by layer in ResNets, all layers at once in the ViT"
)
COMPENSATE = ("none", "linear")
# What is measured under which compensation: the recipe that was searched at the case's rate without any, and
# the searches one after the other that were made as it is measured. Of those the best on validation images
# counts.
SEARCHED = {
    "none": (
        *(TAYLOR_BALANCE, DEPTH_GROUPS, BALANCE, FINER),
        *(TAYLOR_JOINT, JOINT, JOINT_BALANCE, SIGNED, SIGNED_BALANCE),
    ),
    "linear": (
        *(DEPTH_GROUPS, COMPENSATED, COMPENSATED_BALANCE, COMPENSATED_FINER),
        *(COMPENSATED_JOINT, COMPENSATED_SIGNED),
    ),
}
# Stages that searched in either order.
ORDERS = {"score": DEPTH_GROUPS, "joint": JOINT}
KEEP = 0.95
SIGNED_PRESET = "signed"  # a preset summed with its sign, in the joint order
SEARCH = "search"  # the best one where half is lost
_STEPS = 100


def run(case: Case, seed: int) -> None:
    """Bisect for Taylor in both orders, the best found, and the best search where half is lost in its own."""
    searches = {compensate: chosen_search(case, seed, compensate) for compensate in COMPENSATE}
    recipes = {TAYLOR: PRESETS[TAYLOR]}
    recipes |= found(case, seed, dict.fromkeys(s for s in (DEPTH_GROUPS, *searches.values()) if s))
    measured: list[tuple[str, str, str, Stage]] = []  # compensation, method, what it is, order of this stage
    for compensate, search in searches.items():
        measured += [(compensate, TAYLOR, TAYLOR, stage) for stage in ORDERS.values()]
        if search is not None:  # where there is one, there is the first
            measured.append((compensate, OURS, OURS, DEPTH_GROUPS))
            measured.append((compensate, search.name, SEARCH, search))
    table = Table(NAME, ABOUT)
    of = made_of(case, recipes, [(*made, stage.joint) for *made, stage in measured], KEEP, case.compensation)
    if table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    part = curve_images(evaluator_of(case, seed))
    rows = []
    methods = {method.name: method for method in rankings(session_of(case, seed), recipes)}
    dense = evaluator_of(case, seed).figures(methods[TAYLOR], 0.0, part)["top1"]
    for compensate, name, kind, stage in measured:
        evaluator, order = evaluator_of(case, seed, compensate), "joint" if stage.joint else "score"
        rate = highest(top1_of(evaluator, methods[name], compensate, stage), KEEP * dense)
        print(f"  {compensate:<7} {kind:<12} {name:<20} {order} {rate:.0%}", flush=True)
        made = {"compensate": compensate, "method": name, "kind": kind, "order": order}
        rows.append({**made, "rate": rate, "dense": dense})
    table.replace(case, seed, of, rows)


def run_half(case: Case, seed: int) -> None:
    """Measure where the strongest preset has lost half, without and with compensation on both sides.

    Which preset that is and where is found with the case's first seed.
    """
    table, ours = Table(HALF, ABOUT_HALF), found(case, seed, dict.fromkeys(chain(*SEARCHED.values())))
    if OURS not in ours:
        return
    of_presets = made_of(case, PRESET_NAMES, COMPENSATE, case.compensation)
    of = made_of(of_presets, SIGNED_PRESET, ours)
    if table.has(case, seed, of):
        return
    first = case.seeds[0]
    if seed != first:
        run_half(case, first)
    print(f"{HALF}: {case.name}, seed {seed}", flush=True)
    session = session_of(case, seed)
    mine = {method.name: method for method in rankings(session, ours)}
    rows: list[dict[str, Any]] = []
    for compensate in COMPENSATE:
        evaluator = evaluator_of(case, seed, compensate)
        joint = ordered(evaluator.session, JOINT)
        rate, strongest, with_sign = _presets(case, evaluator, compensate, of_presets)
        measured = [("preset", strongest, evaluator.session, None), ("joint", strongest, joint, None)]
        measured.append((SIGNED_PRESET, with_sign, joint, None))
        for stage in SEARCHED[compensate]:
            if stage.name in mine:
                score = validation(case, seed, stage, compensate)
                measured.append(
                    ("ours", mine[stage.name], joint if stage.joint else evaluator.session, score)
                )
        for kind, method, bench, score in measured:
            plan = planned(bench, method, rate)
            figures = evaluator.figures_of(plan)
            print(
                f"  {compensate:<7} {rate:.2f} {kind:<6} {method.name:<24} {figures['top1']:.1%}", flush=True
            )
            rows.append(
                {
                    "compensate": compensate,
                    "rate": rate,
                    "method": method.name,
                    "kind": kind,
                    "validation": score,
                    **plain_figures(figures),
                    "of_presets": of_presets,
                }
            )
    table.replace(case, seed, of, rows)


def _presets(
    case: Case, evaluator: TestEvaluator, compensate: str, of_presets: str
) -> tuple[float, Method, Method]:
    """The rate, the strongest preset and the strongest with signed sums: known, or found here."""
    named = {name: PRESETS[name] for name in PRESETS}
    known = strongest_preset(case, compensate, of_presets)  # searches that are new do not change it
    if known is None:
        rate, strongest = _half(evaluator, rankings(evaluator.session, named), compensate)
    else:
        rate, preset = known
        (strongest,) = rankings(evaluator.session, {preset: named[preset]})
    candidates = {f"{name}, signed": preset.signed() for name, preset in named.items() if name != TAYLOR}
    known = strongest_preset(case, compensate, of_presets, SIGNED_PRESET)
    if known is not None:
        candidates = {known[1]: candidates[known[1]]}
    presets = rankings(evaluator.session, candidates)
    if len(presets) > 1:
        presets.sort(key=lambda preset: top1_of(evaluator, preset, compensate, JOINT)(rate))
    return rate, strongest, presets[-1]


def validation(case: Case, seed: int, stage: Stage, compensate: str) -> float | None:
    """The best score of a finished search; None where it was scored otherwise than ``half`` measures."""
    if not (stage.at_half or stage.compensated) or stage.compensated != (compensate == "linear"):
        return None
    study = finished(case, seed, stage)
    return None if study is None else best_trial(study).values[0]


def chosen_search(case: Case, seed: int, compensate: str) -> Stage | None:
    """Of the finished searches that were made as it is measured the best on the validation images.

    The later one of equals; where there is none, the first search; None without that, too.
    """
    scores = {stage: validation(case, seed, stage, compensate) for stage in SEARCHED[compensate]}
    scored = {stage: score for stage, score in scores.items() if score is not None}
    if scored:
        return max(reversed(scored), key=lambda stage: scored[stage])
    return DEPTH_GROUPS if finished(case, seed, DEPTH_GROUPS) is not None else None


def best_of(rows: pd.DataFrame) -> str:
    """As `chosen_search`, of one seed's rows of ``half``: the name of the search."""
    scored = rows[rows.validation.notna()].iloc[::-1]
    return str(scored.loc[scored.validation.idxmax()].method) if len(scored) else OURS


def strongest_preset(
    case: Case, compensate: str, of_presets: str | None = None, kind: str = "preset"
) -> tuple[float, str] | None:
    """The rate where the strongest preset has lost half, and that preset; None where it was not measured.

    Args:
        case: The network; its first seed counts.
        compensate: How compensation is done.
        of_presets: Only where it was found so (`made_of`); None: however it was.
        kind: ``SIGNED_PRESET``: the strongest of those in place of it.
    """
    rows = Table(HALF, ABOUT_HALF).frame
    if len(rows):
        rows = rows[(rows.case == case.name) & (rows.compensate == compensate) & (rows.kind == kind)]
        rows = rows[rows.seed == case.seeds[0]]
        if of_presets is not None:
            rows = rows[rows.of_presets == of_presets]
    if not len(rows):
        return None
    return float(rows.iloc[0].rate), str(rows.iloc[0].method)


def _half(evaluator: TestEvaluator, presets: Sequence[Method], compensate: str) -> tuple[float, Method]:
    """The first rate at which the strongest preset has lost half, and that preset."""
    half = evaluator.figures(presets[0], 0.0, curve_images(evaluator))["top1"] / 2
    rate, strongest = 0.0, presets[0]
    for preset in presets:  # only those that are still above half where the strongest so far was
        top1 = top1_of(evaluator, preset, compensate)
        if rate == 0.0 or top1(rate + 1 / _STEPS) >= half:
            rate, strongest = highest(top1, half), preset
    return round(rate + 1 / _STEPS, 2), strongest


def top1_of(
    evaluator: TestEvaluator, method: Method, compensate: str, stage: Stage = DEPTH_GROUPS
) -> Callable[[float], float]:
    """Top-1 on the curve's images by rate, in a stage's order; zero where so much cannot go."""
    part, session = curve_images(evaluator), ordered(evaluator.session, stage)

    def top1(rate: float) -> float:
        try:
            plan = planned(session, method, round(rate, 2))
        except XaipruneError:  # prune.min_units: each layer keeps a unit
            return 0.0
        return float(evaluator.figures_of(plan, part)["top1"])

    return top1


def highest(top1: Callable[[float], float], least: float) -> float:
    """The highest rate in steps of 0.01 with at least so much, as if the curve only fell."""
    low, high = 0, _STEPS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if top1(middle / _STEPS) >= least else (low, middle)
    return low / _STEPS
