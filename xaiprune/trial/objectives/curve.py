"""Top-1 along a whole accuracy-rate curve: its mean, and the area under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from xaiprune.registry import register_objective
from xaiprune.trial.objective import Objective

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@register_objective("curve_mean")
class CurveMean(Objective):
    """Plain mean of top-1 over the rates, as the papers' tables have it."""

    default_rates: ClassVar[tuple[float, ...] | None] = RATES


@register_objective("curve_trapezoid")
class CurveTrapezoid(Objective):
    """Area under the curve by the trapezoidal rule, divided by the range of rates."""

    default_rates: ClassVar[tuple[float, ...] | None] = RATES

    def combine(self, rates: Sequence[float], figures: Sequence[float]) -> float:
        """The area; with a single rate its top-1."""
        from xaiprune.evaluation.curve import trapezoid

        return trapezoid(rates, figures)

    @classmethod
    def value_name(cls, stored: Mapping[str, Any], rate_is_searched: bool = False) -> str:
        """What a study's value is, as it is shown."""
        return f"area under the curve over {len(stored['rates'])} rates"
