"""Colours, the same for a method in every picture, table and page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Okabe and Ito's palette, which people with any common colour blindness can tell apart.
BEST, TAYLOR, RANDOM = "#D55E00", "#0072B2", "#7A7A7A"
_MUTED = ("#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#8C7B00", "#6A51A3", "#3B7A8C", "#A65628", "#5B8C5A")
# From early to late layers. Not one hue that darkens: it would vanish on a dark page.
PARTS = {"low": "#56B4E9", "mid": "#009E73", "high": "#E69F00", "classifier": "#CC79A7"}


@dataclass(frozen=True)
class Style:
    """How a method's curve is drawn.

    Attributes:
        color: ``#RRGGBB``.
        width: Of the line, in points.
        line: Matplotlib's line style.
        alpha: Opacity.
        bold: Whether it is emphasised.
    """

    color: str
    width: float
    line: str = "-"
    alpha: float = 1.0
    bold: bool = False


def method_styles(methods: Sequence[str], best: str = "best found") -> dict[str, Style]:
    """A style for each method; the best found, Taylor and random always have the same.

    Args:
        methods: By name; those beyond the number of colours are dotted.
        best: Name of the best found.
    """
    styles = {}
    muted = iter([Style(color, 1.2, line, 0.75) for line in ("-", ":", "-.") for color in _MUTED] * 9)
    for method in methods:
        if method == best:
            style = Style(BEST, 2.8, bold=True)
        elif method == "taylor":
            style = Style(TAYLOR, 1.8)
        elif method == "random":
            style = Style(RANDOM, 1.3, "--")
        else:
            style = next(muted)
        styles[method] = style
    return styles


def part_colors(parts: Iterable[str]) -> dict[str, str]:
    """A colour for each part of a space; the depth groups always have the same."""
    muted = iter(_MUTED[4:] * 20)
    return {part: PARTS.get(part) or next(muted) for part in parts}
