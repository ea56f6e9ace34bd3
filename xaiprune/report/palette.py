"""Colours, the same for a method in every picture, table and page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

# Okabe and Ito's palette, which people with any common colour blindness can tell apart.
BEST, TAYLOR, RANDOM = "#D55E00", "#0072B2", "#7A7A7A"
_MUTED = ("#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#8C7B00", "#6A51A3", "#3B7A8C", "#A65628", "#5B8C5A")
_LINES = ("-", ":", "-.", "--")
# Ours, each in its place for good: first what every comparison has, so that those differ in colour.
_METHODS = (
    *("LRP epsilon", "LRP zplus", "LRP epsilon_logit", "LRP epsilon_cp", "LRP yeom_zplus"),
    *("LRP alpha2beta1_first", "LRP epsilon_gamma", "LRP attnlrp_gamma", "integrated_gradients"),
    *("activation", "magnitude_l1", "variance", "fluctuation", "fisher", "gradient", "wanda", "magnitude_l2"),
    *("Wanda-sp", "FLAP", "VBP", "CORP", "GRAIL", "ThiNet", "TP GroupTaylor", "TP GroupMagnitude"),
)
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


_FIXED = {"taylor": Style(TAYLOR, 1.8), "random": Style(RANDOM, 1.3, "--")}


def method_styles(methods: Sequence[str], best: str = "best found") -> dict[str, Style]:
    """A style for each method: the same in every picture, whoever else is in it.

    There are fewer colours than methods; what shares one is drawn with another kind of line.

    Args:
        methods: By name. Those that are registered elsewhere get styles that none of ours has. Under one
            of several compensations (``taylor (linear)``) a method has its own colour, and another line each.
        best: Name of the best found.
    """
    others = [name for name in dict.fromkeys(map(_base, methods)) if name not in (best, *_FIXED, *_METHODS)]
    places = {name: place for place, name in enumerate((*_METHODS, *others))}
    seen: dict[str, int] = {}
    styles = {}
    for method in methods:
        base = method if method == best else _base(method)
        further = seen[base] = seen.get(base, -1) + 1  # of the same method, under other compensations
        if method == best:
            style = Style(BEST, 2.8, bold=True)
        elif base in _FIXED:
            style = _FIXED[base]
        else:
            line, color = divmod(places[base], len(_MUTED))
            style = Style(_MUTED[color], 1.2, _LINES[line % len(_LINES)], 0.8)
        shifted = _LINES[(_LINES.index(style.line) + further) % len(_LINES)]
        styles[method] = replace(style, line=shifted)
    return styles


def _base(method: str) -> str:
    """The method without the compensation that it is under."""
    return method.partition(" (")[0]


def part_colors(parts: Iterable[str]) -> dict[str, str]:
    """A colour for each part of a space; the depth groups always have the same."""
    muted = iter(_MUTED[4:] * 20)
    return {part: PARTS.get(part) or next(muted) for part in parts}
