"""How well a composite's heatmaps explain the dense network, by patch flipping; nothing is pruned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from xaiprune.registry import register_objective
from xaiprune.trial.objective import Objective
from xaiprune.trial.result import Result

if TYPE_CHECKING:
    from xaiprune.evaluation import Faithfulness
    from xaiprune.recipe import Recipe
    from xaiprune.session import PruningSession
    from xaiprune.trial.measure import Measurement

_REASON = "no trial prunes"


def explained(session: PruningSession, recipe: Recipe) -> Faithfulness:
    """`flip_patches` of the dense network and the images that trials are scored on."""
    from xaiprune.session import flip_patches

    return flip_patches(session.model, session.validation, recipe, session.task, session.batch)


@register_objective("faithfulness")
class FaithfulnessObjective(Objective):
    """Area between the curves of least and most relevant patches first, in logits."""

    default_rates: ClassVar[tuple[float, ...] | None] = ()
    prunes: ClassVar[bool] = False
    fraction: ClassVar[bool] = False
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
