"""Numbers of a space: fixed, drawn from a range, or one of several."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.trial import BaseTrial


@dataclass(frozen=True)
class Fixed:
    """A number that is not searched."""

    value: float

    def suggest(self, trial: BaseTrial, name: str) -> float:
        return self.value

    def contains(self, value: float) -> bool:
        return abs(value - self.value) <= 1e-9 * abs(self.value)

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Range:
    """A number between ``low`` and ``high``, both included, drawn evenly on a linear or logarithmic scale."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: BaseTrial, name: str) -> float:
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class OneOf:
    """One of several numbers."""

    values: tuple[float, ...]

    def suggest(self, trial: BaseTrial, name: str) -> float:
        return float(trial.suggest_categorical(name, self.values))

    def contains(self, value: float) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return f"one of {', '.join(f'{value:g}' for value in self.values)}"


Number = Fixed | Range | OneOf


def times(number: Number, factor: float) -> Number:
    """The number with all that it may be times a factor."""
    if isinstance(number, Range):
        return Range(number.low * factor, number.high * factor, number.log)
    if isinstance(number, OneOf):
        return OneOf(tuple(value * factor for value in number.values))
    return Fixed(number.value * factor)


def nearest(number: Number, value: float) -> float:
    """What comes closest to a value."""
    if isinstance(number, Range):
        return min(max(value, number.low), number.high)
    if isinstance(number, OneOf):
        return min(number.values, key=lambda other: abs(other - value))
    return number.value


def is_searched(number: Number) -> bool:
    """Whether a number is asked for."""
    return not isinstance(number, Fixed)
