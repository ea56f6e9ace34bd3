"""How much can be removed: the highest rate that keeps a part of the dense top-1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from optuna.trial import FrozenTrial

from xaiprune.errors import XaipruneError
from xaiprune.registry import register_objective
from xaiprune.trial.cache import Score
from xaiprune.trial.objective import Measured, Objective
from xaiprune.trial.result import Result

if TYPE_CHECKING:
    from xaiprune.recipe import Recipe
    from xaiprune.trial.measure import Measurement

_STEPS = 100  # rates are rounded to this fraction


@register_objective("max_rate_at_drop")
class MaxRateAtDrop(Objective):
    """The highest rate that keeps ``objective.keep_top1`` of the dense top-1, by bisection.

    Plans at rising rates are nested, and accuracy falls along them, by and large. Where it does not, what is
    found is one of the rates at which it falls below.
    """

    default_rates: ClassVar[tuple[float, ...] | None] = ()
    finds_rate: ClassVar[bool] = True
    without_effect: ClassVar[Mapping[str, str]] = {"rates": "each trial finds its rate"}

    def evaluate(self, measurement: Measurement) -> Result:
        """Bisect."""
        ranking, least = measurement.ranking(), self._least(measurement)
        scores: list[tuple[float, Score]] = []
        low, high = 0, _STEPS  # in steps: low is kept, high is not
        while high - low > 1:
            middle = (low + high) // 2
            try:
                entry = measurement.open(ranking, middle / _STEPS)
            except XaipruneError:  # prune.min_units; a broken ranking was refused before
                high = middle
                continue
            measurement.measure(entry)
            scores.append((entry.rate, entry.score))
            low, high = (middle, high) if entry.score.total >= least else (low, middle)
        return self.result(measurement, scores)

    def value(self, measurement: Measurement, scores: Measured) -> float:
        """The highest measured rate that keeps enough."""
        return max((rate for rate, _ in self._that_keep(measurement, scores)), default=0.0)

    def quantities(self, measurement: Measurement, scores: Measured) -> dict[str, float]:
        """Of the found rate alone."""
        found = sorted(self._that_keep(measurement, scores), key=lambda entry: entry[0])
        if not found:  # nothing can be removed
            dense = measurement.session.dense_accuracy(measurement.precision).top1
            return {"top1": dense, **dict.fromkeys(self.costs, 1.0)}
        return super().quantities(measurement, found[-1:])

    def rate_of(self, trial: FrozenTrial, recipe: Recipe, rate: float) -> float:
        """The rate that was found."""
        return trial.values[0] if trial.values else 0.0

    @classmethod
    def value_name(cls, stored: Mapping[str, Any], rate_is_searched: bool = False) -> str:
        """What a study's value is, as it is shown."""
        return f"highest rate that keeps {stored.get('keep', 0.95):.0%} of the dense top-1"

    def _that_keep(self, measurement: Measurement, scores: Measured) -> list[tuple[float, Score]]:
        least = self._least(measurement)
        return [entry for entry in scores if entry[1].total >= least]

    def _least(self, measurement: Measurement) -> float:
        """Correct images that have to remain."""
        dense = measurement.session.dense_accuracy(measurement.precision)
        return self.keep * dense.top1 * measurement.answers
