"""Best for explaining against best for pruning: faithfulness of a study's composites beside their score."""

from __future__ import annotations

from math import nan

from benchmarks.proof.cases import Case, context_of
from benchmarks.proof.studies import DEPTH_GROUPS, finished
from benchmarks.proof.tables import Table, made_of
from xaiprune.errors import XaipruneError
from xaiprune.search import proposal_of
from xaiprune.search.explaining import explained

NAME = "explaining"
ABOUT = (
    "Trials of one study, evenly spread over their validation top-1 (of the images that a raced trial came "
    "to see): faithfulness of the composite's heatmaps on 50 validation images by patch flipping "
    "(LeRF - MoRF, logits)"
)
TRIALS, IMAGES = 24, 50


def run(case: Case, seed: int) -> None:
    """Explain the validation images by trials of one study."""
    table, study = Table(NAME, ABOUT), finished(case, seed)
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
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    context = context_of(case, seed, (f"objective.validation_limit={IMAGES}",))
    for trial in missing:
        proposal, score = proposal_of(trial), trial.user_attrs["scores"][0]
        area = low = high = nan  # of a composite whose heatmaps are not finite
        try:
            faithful = explained(context, proposal)
            area, (low, high) = faithful.area, faithful.interval()
        except XaipruneError as error:
            print(f"  trial {trial.number}: {error}", flush=True)
        print(f"  trial {trial.number:<4} top-1 {score['top1']:.1%}, faithfulness {area:.2f}", flush=True)
        rows.append(
            {
                "trial": trial.number,
                "space": DEPTH_GROUPS.name,
                "preset": trial.user_attrs.get("preset"),
                "validation_top1": score["top1"],
                "validation_images": score["images"],
                "faithfulness": area,
                "low": low,
                "high": high,
            }
        )
        table.replace(case, seed, of, rows)
