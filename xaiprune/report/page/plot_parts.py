"""What the page's plots share: the plot itself with its title and caption, colours and axes.

Colours named ``var(--...)`` are the page's own (CSS custom properties): figures.js fills them in, and again
when the page turns dark or is printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from xaiprune.report.palette import RANDOM

INK, FAINT, PAPER, ACCENT = "var(--ink)", "var(--faint)", "var(--paper)", "var(--accent)"
HEAT = [[0, "var(--heat-0)"], [0.5, "var(--heat-1)"], [1, "var(--heat-2)"]]
ABOVE = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}  # a legend above the plot
PERCENT = ".0%"


def tick_format(fraction: bool) -> str:
    """Of an axis of values: percent where they are fractions."""
    return PERCENT if fraction else "~g"


def hover(fraction: bool) -> str:
    """A value, in the text that is shown over a dot."""
    return "%{y:.1%}" if fraction else "%{y:.2f}"


_HEIGHT = 360
_NAMED_LAYERS = 40  # more names than that cannot be read


@dataclass(frozen=True)
class Plot:
    """One figure of the page.

    Attributes:
        id: Of its HTML element.
        title: Heading above it.
        caption: One sentence that a newcomer understands.
        figure: The plot, without what figures.js adds to all of them.
        narrow: Layout for small screens: each entry replaces the figure's.
    """

    id: str
    title: str
    caption: str
    figure: go.Figure
    narrow: Mapping[str, Any] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """Pixels."""
        return self.figure.layout.height or _HEIGHT

    def to_dict(self) -> dict[str, Any]:
        """As figures.js takes it."""
        found = self.figure.to_plotly_json()
        del found["layout"]["template"]  # the page has its own
        return {"id": self.id, **found, "height": self.height, "narrow": self.narrow}


def layer_axis(names: Sequence[str]) -> dict[str, Any]:
    """An axis of layers by name; only numbered where names would not fit."""
    if len(names) > _NAMED_LAYERS:
        return numbered_axis(names)
    return {
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "tickangle": -50,
        "tickfont": {"size": 10},
        "automargin": True,
        "range": [-0.5, len(names) - 0.5],
        "showgrid": False,
    }


def numbered_axis(names: Sequence[str]) -> dict[str, Any]:
    """An axis of layers by their position, counted from 1."""
    step = max(1, round(len(names) / 8))
    return {
        "title": {"text": "layer, in the order in which they run"},
        "tickvals": list(range(0, len(names), step)),
        "ticktext": [str(i + 1) for i in range(0, len(names), step)],
        "tickangle": 0,
        "range": [-0.5, len(names) - 0.5],
        "showgrid": False,
    }


def add_level(figure: go.Figure, value: float, text: str, **where: int) -> None:
    """A dotted line across the figure (or one panel of it) at a height, with a label at its left end."""
    figure.add_hline(
        value,
        line={"color": RANDOM, "width": 1, "dash": "dot"},
        layer="below",
        annotation={"text": text, "font": {"size": 11, "color": FAINT}},
        annotation_position="top left",
        **where,
    )
