"""What a trial's value is: top-1 at a rate or along a curve, how much may go, or how well it explains."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from optuna.study import StudyDirection

from xaiprune.config import Config
from xaiprune.errors import XaipruneError, did_you_mean

CURVE_RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
COSTS = ("params", "macs", "latency")
BISECTING = "max_rate_at_drop"
FAITHFULNESS = "faithfulness"
Combine = Callable[[Sequence[float], Sequence[float]], float]
_CONSTRAINT = re.compile(r"\s*(\w+)\s*(<=|>=)\s*([-+.\deE]+)\s*")


@dataclass(frozen=True)
class Constraint:
    """A bound that a trial keeps or not, such as ``macs <= 0.5``.

    Attributes:
        text: As it was written; also its name in the study.
        quantity: ``top1``, or ``params``, ``macs`` or ``latency`` as a part of the dense network's.
        at_most: Whether the bound is an upper one.
        bound: The number.
    """

    text: str
    quantity: str
    at_most: bool
    bound: float

    def excess(self, quantities: Mapping[str, float]) -> float:
        """By how much the bound is missed; zero or less where it is kept, as Optuna wants it."""
        difference = quantities[self.quantity] - self.bound
        return difference if self.at_most else -difference


@dataclass(frozen=True)
class Objective:
    """Where to measure, and how the figures become a trial's values.

    Attributes:
        name: As in ``objective.name``.
        rates: Rates at which a trial's ranking is measured, rising; none for `max_rate_at_drop`, which finds
            its own, and `faithfulness`, which prunes nothing.
        combine: (rates, top-1 at each, fractions) -> first value, a fraction, the higher the better.
        keep: Part of the dense top-1 that `max_rate_at_drop` keeps.
        cost: Second value, the lower the better: this cost of the smaller network, as a part of the dense
            one's, averaged over the rates; None: there is one value only.
        constraints: Bounds on what a good trial may cost or lose.
    """

    name: str
    rates: tuple[float, ...]
    combine: Combine
    keep: float = 0.95
    cost: str | None = None
    constraints: tuple[Constraint, ...] = ()

    @property
    def bisects(self) -> bool:
        """Whether the rate is searched within a trial."""
        return self.name == BISECTING

    @property
    def explains(self) -> bool:
        """Whether heatmaps are judged, and nothing is pruned."""
        return self.name == FAITHFULNESS

    @property
    def directions(self) -> list[StudyDirection]:
        """As Optuna takes them."""
        return [StudyDirection.MAXIMIZE, *([] if self.cost is None else [StudyDirection.MINIMIZE])]

    @property
    def costs(self) -> tuple[str, ...]:
        """Which costs of the smaller network have to be known."""
        wanted = {constraint.quantity for constraint in self.constraints} | {self.cost}
        return tuple(cost for cost in COSTS if cost in wanted)


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
    BISECTING: (mean, ()),
    FAITHFULNESS: (mean, ()),
}


def objective_of(config: Config) -> Objective:
    """The objective that a configuration asks for.

    Raises:
        XaipruneError: Unknown name, rates that do not rise, or a constraint that cannot be read.
    """
    wanted = config.objective
    name = wanted.name
    if name not in OBJECTIVES:
        closest = did_you_mean(name, OBJECTIVES) or f"; there are {', '.join(OBJECTIVES)}"
        raise XaipruneError(f"unknown objective.name '{name}'{closest}")
    combine, default = OBJECTIVES[name]
    if name == BISECTING and wanted.rates:
        raise XaipruneError(f"objective.rates says nothing with objective.name={name}, which finds the rate")
    if name == FAITHFULNESS:
        for key in ("rates", "cost", "constraints"):
            if getattr(wanted, key):
                raise XaipruneError(
                    f"objective.{key} says nothing with objective.name={name}: no trial prunes"
                )
    rates = tuple(wanted.rates or ((config.prune.rate,) if default is None else default))
    if any(later <= earlier for earlier, later in pairwise(rates)):
        raise XaipruneError(f"objective.rates must rise, got {list(rates)}")
    constraints = tuple(constraint_of(text) for text in wanted.constraints)
    return Objective(name, rates, combine, wanted.keep, wanted.cost, constraints)


def constraint_of(text: str) -> Constraint:
    """Read ``macs <= 0.5``.

    Raises:
        XaipruneError: It is not a quantity, <= or >=, and a number.
    """
    found = _CONSTRAINT.fullmatch(text)
    quantities = ("top1", *COSTS)
    try:
        if found is None or found[1] not in quantities:
            raise ValueError
        return Constraint(" ".join(found.groups()), found[1], found[2] == "<=", float(found[3]))
    except ValueError:
        raise XaipruneError(
            f"objective.constraints: '{text}' is not a bound such as 'macs <= 0.5'; it takes "
            f"{', '.join(quantities)} (fractions; costs as a part of the dense network's), <= or >=, a number"
        ) from None
