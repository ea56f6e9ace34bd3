"""Numbers and settings as text for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


def percent(fraction: float | None) -> str:
    """``67.2 %``; a dash where there is none."""
    return "–" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.1f} %"


def interval(low: float, high: float) -> str:
    """``41.3 to 51.6``, in percent; empty where there is none."""
    return "" if math.isnan(low) or math.isnan(high) else f"{100 * low:.1f} to {100 * high:.1f}"


def with_interval(value: float, low: float, high: float) -> str:
    """``46.4 % (41.3 to 51.6)``."""
    bounds = interval(low, high)
    return f"{percent(value)} ({bounds})" if bounds else percent(value)


def seconds(number: float) -> str:
    """``1.5 ms``, ``0.42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if math.isnan(number):
        return "–"
    if number < 0.1:
        return f"{1000 * number:.2g} ms"
    if number < 60:
        return f"{number:.2f} s" if number < 10 else f"{number:.0f} s"
    if number < 3600:
        return f"{number // 60:.0f} min {number % 60:.0f} s"
    return f"{number // 3600:.0f} h {number % 3600 // 60:.0f} min"


def counted(number: int) -> str:
    """``11.2 M``, ``744``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if letter == 'k' else size):.4g} {letter}"
    return f"{number:,}"


def drawn_from(distribution: BaseDistribution) -> str:
    """What a parameter is drawn from: ``1e-06 to 1, logarithmic``; ``gradient, epsilon, gamma``."""
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(str(choice) for choice in distribution.choices)
    if isinstance(distribution, FloatDistribution | IntDistribution):
        scale = ", logarithmic" if distribution.log else ""
        return f"{distribution.low:g} to {distribution.high:g}{scale}"
    return str(distribution)


def plural(count: int, noun: str) -> str:
    """``1 trial``, ``1,200 trials``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(values: Mapping[str, Any]) -> str:
    """``torch 2.6, timm 1.0``."""
    return ", ".join(f"{key} {value}" for key, value in values.items() if value)
