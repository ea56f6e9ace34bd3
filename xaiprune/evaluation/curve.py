"""Accuracy over rates, and the two numbers that sum a curve up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
        """Plain mean over the rates, as the papers' tables have it."""
        return sum(self.top1) / len(self.top1)

    @property
    def area(self) -> float:
        """Area under the curve (trapezoid), divided by the range of rates; the top-1 if there is one rate."""
        rates, top1 = self.rates, self.top1
        if len(rates) == 1:
            return top1[0]
        pieces = [(rates[i + 1] - rates[i]) * (top1[i] + top1[i + 1]) / 2 for i in range(len(rates) - 1)]
        return sum(pieces) / (rates[-1] - rates[0])


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
