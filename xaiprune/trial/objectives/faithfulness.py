"""How well a composite's heatmaps explain the dense network, by patch flipping; nothing is pruned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from xaiprune.attribution import heatmaps
from xaiprune.data import LabelledImages
from xaiprune.evaluation import Faithfulness, faithfulness
from xaiprune.recipe import Recipe
from xaiprune.registry import register_objective
from xaiprune.session import PruningSession
from xaiprune.trial.measure import Measurement
from xaiprune.trial.objective import Objective
from xaiprune.trial.result import Result

_HEATMAP_IMAGES = 16  # in one pass: relevance of the image itself takes memory
_REASON = "no trial prunes"


def explained(session: PruningSession, recipe: Recipe, images: LabelledImages | None = None) -> Faithfulness:
    """Flip patches of images in the order of a recipe's heatmaps of the dense network.

    Only composite and start have an effect on a heatmap, not how scores are aggregated.

    Args:
        session: Network and task.
        recipe: Whose heatmaps.
        images: What is explained; None: the images that trials are scored on.

    Raises:
        XaipruneError: Relevance is not finite.
    """
    shown = session.validation if images is None else images
    pixels = shown.tensor(device=session.device)
    relevance = heatmaps(
        session.model,
        pixels,
        shown.labels,
        recipe.composite,
        task=session.task,
        start=recipe.start,
        batch_size=min(_HEATMAP_IMAGES, session.batch.attribution),
    )
    return faithfulness(
        session.model, pixels, shown.labels, relevance, session.task, batch_size=session.batch.forward
    )


@register_objective("faithfulness")
class FaithfulnessObjective(Objective):
    """Area between the curves of least and most relevant patches first, in logits."""

    default_rates: ClassVar[tuple[float, ...] | None] = ()
    prunes: ClassVar[bool] = False
    without_effect: ClassVar[Mapping[str, str]] = dict.fromkeys(("rates", "cost", "constraints"), _REASON)

    def evaluate(self, measurement: Measurement) -> Result:
        """Explain the validation images; all seconds count as ``evaluate``."""
        with measurement.watch.step("evaluate"):
            found = explained(measurement.session, measurement.recipe)
        low, high = found.interval()
        figures = {"area": found.area, "low": low, "high": high, "images": measurement.total}
        return self._result(measurement, figures, measurement.total, None)

    def reused(self, measurement: Measurement) -> Result | None:
        """The figures of an earlier trial with the same recipe."""
        earlier = measurement.cache.explained.get(measurement.recipe.key)
        if earlier is None:
            return None
        figures, trial = earlier
        return self._result(measurement, figures, 0, trial if trial != measurement.number else None)

    @classmethod
    def value_name(cls, stored: Mapping[str, Any], rate_is_searched: bool = False) -> str:
        """What a study's value is, as it is shown."""
        return "area between the curves of flipped patches, in logits"

    def _result(
        self, measurement: Measurement, figures: Mapping[str, Any], evaluated: int, reused: int | None
    ) -> Result:
        wanted = measurement.total
        return Result((figures["area"],), (), {}, evaluated, wanted, reused, faithfulness=figures)
