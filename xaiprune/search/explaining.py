"""A trial whose value is how well its heatmaps explain the network: the objective `faithfulness`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xaiprune.attribute.heatmap import heatmaps
from xaiprune.data import LabelledImages
from xaiprune.evaluate import Faithfulness, faithfulness
from xaiprune.search.context import Context
from xaiprune.search.known import Known
from xaiprune.search.measuring import Result, Stopwatch
from xaiprune.search.proposal import Proposal

_HEATMAP_IMAGES = 16  # in one pass: relevance of the image itself takes memory


def explained(context: Context, proposal: Proposal, images: LabelledImages | None = None) -> Faithfulness:
    """Flip patches of images in the order of a proposal's heatmaps of the dense network.

    Only composite and start say something to a heatmap; how scores are aggregated does not.

    Args:
        context: Network and task.
        proposal: Whose heatmaps.
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
        proposal.composite,
        task=context.task,
        start=proposal.start,
        batch_size=min(_HEATMAP_IMAGES, config.attribution.batch_size),
    )
    return faithfulness(
        context.model, pixels, shown.labels, relevance, context.task, batch_size=config.data.batch_size
    )


def run(context: Context, proposal: Proposal, number: int, known: Known, watch: Stopwatch) -> Result:
    """One trial; a proposal that an earlier one made takes its figures.

    Args:
        context: What all trials share.
        proposal: What this one tries.
        number: The trial's.
        known: What need not be computed again.
        watch: Takes the seconds, all of them as ``evaluate``.

    Raises:
        XaipruneError: Relevance is not finite.
    """
    wanted = len(context.validation)
    if (earlier := known.explained.get(proposal.key)) is not None:
        figures, trial = earlier
        return _result(figures, 0, wanted, trial if trial != number else None)
    with watch.step("evaluate"):
        found = explained(context, proposal)
    low, high = found.interval()
    return _result({"area": found.area, "low": low, "high": high, "images": wanted}, wanted, wanted, None)


def _result(figures: Mapping[str, Any], evaluated: int, wanted: int, reused: int | None) -> Result:
    return Result((figures["area"],), (), {}, evaluated, wanted, reused, faithfulness=figures)
