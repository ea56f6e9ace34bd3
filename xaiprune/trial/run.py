"""One trial: from a recipe to its value."""

from __future__ import annotations

from typing import Any

import numpy as np

from xaiprune.attribution import Relevance
from xaiprune.evaluation import Accuracy
from xaiprune.recipe.ranking import scores_of
from xaiprune.recipe.recipe import Recipe
from xaiprune.session.session import Context
from xaiprune.trial import explaining
from xaiprune.trial.cache import Score, ScoreCache
from xaiprune.trial.measure import Measuring, Result, Stopwatch
from xaiprune.trial.race import CHUNK, Race


def run(
    context: Context,
    recipe: Recipe,
    number: int,
    known: ScoreCache,
    watch: Stopwatch,
    relevance: Relevance | None = None,
    race: Race | None = None,
) -> Result:
    """Attribute, rank, plan, prune, measure.

    Args:
        context: What all trials share.
        recipe: What this one tries.
        number: The trial's, for what it measures.
        known: Scores that need not be measured again; gets those of this trial.
        watch: Takes the seconds of each step.
        relevance: Of this recipe, where it has been computed together with others'.
        race: Stops a hopeless trial; None: every image counts.

    Raises:
        XaipruneError: Relevance or logits are not finite; names the layer.
    """
    if context.objective.explains:
        return explaining.run(context, recipe, number, known, watch)
    measuring = Measuring(context, recipe, number, known, watch, race)
    finished = known.recipes.get(recipe.key)
    if finished is not None:
        return measuring.result(finished)
    if relevance is None:
        with watch.step("attribute"):
            (relevance,) = context.relevances([recipe])
    ranking = scores_of(relevance, recipe, context.units, context.layers)
    if context.objective.bisects:
        return measuring.highest_rate(ranking)
    rates = context.objective.rates if recipe.rate is None else (recipe.rate,)
    return measuring.at(ranking, rates)


def attributes(context: Context, recipe: Recipe, result: Result, watch: Stopwatch) -> dict[str, Any]:
    """What is stored with the trial, beside parameters and value."""
    stored: dict[str, Any] = {
        "proposal": recipe.to_dict(),
        "key": recipe.key,
        "scores": [_score(rate, score, len(context.validation)) for rate, score in result.scores],
        "seconds": {step: round(seconds, 4) for step, seconds in watch.seconds.items()},
        "evaluated": result.evaluated,
        "images": result.wanted,
    }
    # For people who look at a trial in a dashboard, where the recipe is a line of JSON.
    stored |= {"composite": recipe.summary()}
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


def _score(rate: float, score: Score, total: int) -> dict[str, Any]:
    seen = min(total, len(score.correct) * CHUNK)
    found = Accuracy(np.arange(seen) < score.total)
    low, high = found.interval()
    stored = {
        "rate": rate,
        "plan": score.plan,
        "correct": score.total,
        "images": seen,
        "top1": found.top1,
        "low": low,
        "high": high,
        "chunks": list(score.correct),
    }
    return stored | ({"cost": dict(score.cost)} if score.cost else {})
