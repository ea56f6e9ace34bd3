"""Best for explaining against best for pruning: faithfulness of a study's composites beside their score."""

from __future__ import annotations

from math import nan

import pandas as pd

from benchmarks.proof.cases import Case, session_of
from benchmarks.proof.studies import DEPTH_GROUPS, SIGNED, Stage, finished
from benchmarks.proof.tables import Table, made_of, read
from xaiprune.errors import XaipruneError
from xaiprune.study import recipe_of
from xaiprune.trial.objectives.faithfulness import explained

NAME, SIGNED_SUMS = "explaining", "explaining_signed"
ABOUT = (
    "Trials of one study, evenly spread over their validation top-1 (of the images that a raced trial came "
    "to see): faithfulness of the composite's heatmaps on 50 validation images by patch flipping "
    "(LeRF - MoRF, logits)"
)
TRIALS, IMAGES = 24, 50


def run(case: Case, seed: int) -> None:
    """Explain the validation images by trials of the first search."""
    _run(NAME, case, seed, DEPTH_GROUPS)


def run_signed(case: Case, seed: int) -> None:
    """The same of the search for signed sums in the joint order, if the case has it."""
    _run(SIGNED_SUMS, case, seed, SIGNED)


def measured() -> pd.DataFrame:
    """Trials of both searches (column space) whose heatmaps are finite."""
    frames = [frame for name in (NAME, SIGNED_SUMS) if len(frame := read(name))]
    return pd.concat(frames, ignore_index=True).dropna(subset=["faithfulness"]) if frames else pd.DataFrame()


def _run(name: str, case: Case, seed: int, stage: Stage) -> None:
    table, study = Table(name, ABOUT), finished(case, seed, stage)
    if study is None:
        return
    trials = [trial for trial in study.trials if trial.user_attrs.get("scores")]
    trials.sort(key=lambda trial: trial.user_attrs["scores"][0]["top1"])
    picked = [trials[round(i * (len(trials) - 1) / (TRIALS - 1))] for i in range(min(TRIALS, len(trials)))]
    of = made_of(case, [trial.number for trial in picked], IMAGES)
    rows = table.rows(case, seed, of)
    done = {row["trial"] for row in rows}
    missing = [trial for trial in picked if trial.number not in done]
    if not missing:
        return
    print(f"{name}: {case.name}, seed {seed}", flush=True)
    session = session_of(case, seed, (f"objective.validation_limit={IMAGES}",))
    for trial in missing:
        recipe, score = recipe_of(trial), trial.user_attrs["scores"][0]
        area = low = high = nan  # of a composite whose heatmaps are not finite
        try:
            faithful = explained(session, recipe)
            area, (low, high) = faithful.area, faithful.interval()
        except XaipruneError as error:
            print(f"  trial {trial.number}: {error}", flush=True)
        print(f"  trial {trial.number:<4} top-1 {score['top1']:.1%}, faithfulness {area:.2f}", flush=True)
        rows.append(
            {
                "trial": trial.number,
                "space": stage.name,
                "preset": trial.user_attrs.get("preset"),
                "validation_top1": score["top1"],
                "validation_images": score["images"],
                "faithfulness": area,
                "low": low,
                "high": high,
            }
        )
        table.replace(case, seed, of, rows)
