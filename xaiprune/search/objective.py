"""What a trial's value is: top-1 on the validation images, at one rate or along a curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from xaiprune.config import Config, did_you_mean
from xaiprune.errors import XaipruneError

CURVE_RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
Combine = Callable[[Sequence[float], Sequence[float]], float]


@dataclass(frozen=True)
class Objective:
    """Where to measure, and how the figures become one value, the higher the better.

    Attributes:
        name: As in ``objective.name``.
        rates: Rates at which a trial's ranking is measured, rising.
        combine: (rates, top-1 at each, fractions) -> value, a fraction.
    """

    name: str
    rates: tuple[float, ...]
    combine: Combine


def mean(rates: Sequence[float], top1: Sequence[float]) -> float:
    """Plain mean over the rates."""
    return sum(top1) / len(top1)


def trapezoid(rates: Sequence[float], top1: Sequence[float]) -> float:
    """Area under the accuracy-rate curve, divided by the range of rates."""
    if len(rates) == 1:
        return top1[0]
    points = pairwise(zip(rates, top1, strict=True))
    return sum((r1 - r0) * (a0 + a1) / 2 for (r0, a0), (r1, a1) in points) / (rates[-1] - rates[0])


# Name -> how values are combined, and the rates where none are given (None: prune.rate).
OBJECTIVES: dict[str, tuple[Combine, tuple[float, ...] | None]] = {
    "top1_at_rate": (mean, None),
    "curve_mean": (mean, CURVE_RATES),
    "curve_trapezoid": (trapezoid, CURVE_RATES),
}


def objective_of(config: Config) -> Objective:
    """The objective that a configuration asks for.

    Raises:
        XaipruneError: Unknown name, or rates that do not rise.
    """
    name = config.objective.name
    if name not in OBJECTIVES:
        closest = did_you_mean(name, OBJECTIVES) or f"; there are {', '.join(OBJECTIVES)}"
        raise XaipruneError(f"unknown objective.name '{name}'{closest}")
    combine, default = OBJECTIVES[name]
    rates = tuple(config.objective.rates or default or (config.prune.rate,))
    if any(later <= earlier for earlier, later in pairwise(rates)):
        raise XaipruneError(f"objective.rates must rise, got {list(rates)}")
    return Objective(name, rates, combine)
