"""A trial whose value is how well its heatmaps explain the network: the objective `faithfulness`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xaiprune.attribution.heatmap import heatmaps
from xaiprune.data import LabelledImages
from xaiprune.evaluation import Faithfulness, faithfulness
from xaiprune.recipe.recipe import Recipe
from xaiprune.session.session import Context
from xaiprune.trial.cache import ScoreCache
from xaiprune.trial.measure import Result, Stopwatch

_HEATMAP_IMAGES = 16  # in one pass: relevance of the image itself takes memory


def explained(context: Context, recipe: Recipe, images: LabelledImages | None = None) -> Faithfulness:
    """Flip patches of images in the order of a recipe's heatmaps of the dense network.

    Only composite and start say something to a heatmap; how scores are aggregated does not.

    Args:
        context: Network and task.
        recipe: Whose heatmaps.
        images: What is explained; None: the images that trials are scored on.

    Raises:
        XaipruneError: Relevance is not finite.
    """
    shown = context.validation if images is None else images
    pixels, config = shown.tensor(device=context.device), context.config
    relevance = heatmaps(
        context.model,
        pixels,
        shown.labels,
        recipe.composite,
        task=context.task,
        start=recipe.start,
        batch_size=min(_HEATMAP_IMAGES, config.attribution.batch_size),
    )
    return faithfulness(
        context.model, pixels, shown.labels, relevance, context.task, batch_size=config.data.batch_size
    )


def run(context: Context, recipe: Recipe, number: int, known: ScoreCache, watch: Stopwatch) -> Result:
    """One trial; a recipe that an earlier one made takes its figures.

    Args:
        context: What all trials share.
        recipe: What this one tries.
        number: The trial's.
        known: What need not be computed again.
        watch: Takes the seconds, all of them as ``evaluate``.

    Raises:
        XaipruneError: Relevance is not finite.
    """
    wanted = len(context.validation)
    if (earlier := known.explained.get(recipe.key)) is not None:
        figures, trial = earlier
        return _result(figures, 0, wanted, trial if trial != number else None)
    with watch.step("evaluate"):
        found = explained(context, recipe)
    low, high = found.interval()
    return _result({"area": found.area, "low": low, "high": high, "images": wanted}, wanted, wanted, None)


def _result(figures: Mapping[str, Any], evaluated: int, wanted: int, reused: int | None) -> Result:
    return Result((figures["area"],), (), {}, evaluated, wanted, reused, faithfulness=figures)
