"""One trial: from a recipe to its value, and what is stored with it."""

from __future__ import annotations

from typing import Any

from xaiprune.attribution import Relevance
from xaiprune.data import LabelledImages
from xaiprune.evaluation import TokenAccuracy, accuracy_of_chunks
from xaiprune.recipe import Recipe
from xaiprune.trial.cache import Score, ScoreCache
from xaiprune.trial.measure import Measurement
from xaiprune.trial.race import Race
from xaiprune.trial.result import Result, Stopwatch
from xaiprune.trial.setup import SearchSetup


def run_trial(
    setup: SearchSetup,
    recipe: Recipe,
    number: int,
    cache: ScoreCache,
    watch: Stopwatch,
    relevance: Relevance | None = None,
    race: Race | None = None,
) -> Result:
    """Attribute, rank, plan, prune, measure; or take the figures of an earlier trial with the same recipe.

    Args:
        setup: What all trials share.
        recipe: What this one tries.
        number: The trial's.
        cache: Scores of earlier trials; this trial's are added.
        watch: Takes the seconds of each step.
        relevance: Of this recipe, where it has been computed together with others'.
        race: Stops a hopeless trial; None: every image counts.

    Raises:
        XaipruneError: Relevance or logits are not finite; names the layer.
    """
    objective = setup.objective
    measurement = Measurement(
        session=setup.session,
        recipe=recipe,
        number=number,
        cache=cache,
        watch=watch,
        relevance=relevance,
        race=race,
        costs=objective.costs,
        precision=setup.precision,
    )
    return objective.reused(measurement) or objective.evaluate(measurement)


def attributes(setup: SearchSetup, recipe: Recipe, result: Result, watch: Stopwatch) -> dict[str, Any]:
    """What is stored with the trial, beside parameters and value."""
    stored: dict[str, Any] = {
        "proposal": recipe.to_dict(),
        "key": recipe.key,
        "scores": [_score(rate, score, setup.session.validation) for rate, score in result.scores],
        "seconds": {step: round(seconds, 4) for step, seconds in watch.seconds.items()},
        "evaluated": result.evaluated,
        "images": result.wanted,
        # For people who look at a trial in a dashboard, where the recipe is a line of JSON.
        "composite": recipe.summary(),
    }
    if setup.objective.prunes and not setup.objective.fraction:
        stored["measure"] = setup.objective.measure
    if len(stored["scores"]) == 1:
        (only,) = stored["scores"]
        stored["top-1"] = (
            f"{only['top1']:.1%} [{only['low']:.1%}, {only['high']:.1%}] of {only['images']} images at rate "
            f"{only['rate']:g}"
        )
    if result.faithfulness is not None:
        stored["faithfulness"] = dict(result.faithfulness)
    if result.kept:
        stored["kept"] = dict(result.kept)
    if result.reused is not None:
        stored["reused_from"] = result.reused
    return stored


def _score(rate: float, score: Score, images: LabelledImages) -> dict[str, Any]:
    found = accuracy_of_chunks(images, score.correct, score.loss)
    low, high = found.interval()
    stored = {
        "rate": rate,
        "plan": score.plan,
        "correct": score.total,
        "images": min(len(images), len(score.correct) * images.chunk),
        "top1": found.top1,
        "low": low,
        "high": high,
        "chunks": list(score.correct),
    }
    if isinstance(found, TokenAccuracy):
        least, most = found.perplexity_interval()
        stored |= {"perplexity": found.perplexity, "perplexity_low": least, "perplexity_high": most}
        stored |= {"window": found.answers + 1, "loss": list(score.loss)}
    return stored | ({"cost": dict(score.cost)} if score.cost else {})
