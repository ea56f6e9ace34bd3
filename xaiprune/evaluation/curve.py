"""Accuracy over rates, and the two numbers that summarise a curve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy import integrate

from xaiprune.errors import XaipruneError
from xaiprune.evaluation.accuracy import Accuracy


@dataclass(frozen=True)
class Curve:
    """Top-1 at each rate.

    Attributes:
        rates: Ascending fractions removed, 0..1.
        points: The accuracy at each of them.
    """

    rates: tuple[float, ...]
    points: tuple[Accuracy, ...]

    @property
    def top1(self) -> tuple[float, ...]:
        """Top-1 at each rate, 0..1."""
        return tuple(point.top1 for point in self.points)

    @property
    def mean(self) -> float:
        """Plain mean over the rates, as in the papers' tables."""
        return sum(self.top1) / len(self.top1)

    @property
    def area(self) -> float:
        """Area under the curve by the trapezoid rule, divided by the range of rates (`trapezoid`)."""
        return trapezoid(self.rates, self.top1)


def trapezoid(rates: ArrayLike, values: ArrayLike) -> float:
    """Area under a curve by the trapezoid rule, divided by the range of the rates.

    Args:
        rates: (n,) rising, at least one.
        values: (n,) the curve at these rates.

    Returns:
        The curve's mean height; with a single rate the value there.
    """
    rates, values = np.asarray(rates, dtype=float), np.asarray(values, dtype=float)
    if len(rates) == 1:
        return float(values[0])
    return float(integrate.trapezoid(values, rates) / (rates[-1] - rates[0]))


def curve(evaluate: Callable[[float], Accuracy], rates: Sequence[float]) -> Curve:
    """Evaluate at each rate.

    Args:
        evaluate: The accuracy of the network pruned at a rate.
        rates: Strictly ascending, each 0 <= rate < 1.

    Raises:
        XaipruneError: If the rates are empty, out of range or not ascending.
    """
    if not rates or any(not 0 <= rate < 1 for rate in rates):
        raise XaipruneError(f"rates {list(rates)} must be fractions, 0 <= rate < 1, at least one")
    if any(later <= earlier for earlier, later in pairwise(rates)):
        raise XaipruneError(f"rates {list(rates)} must rise")
    return Curve(tuple(rates), tuple(evaluate(rate) for rate in rates))
