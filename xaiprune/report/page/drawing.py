"""What the page's figures are made of: data for plotly.js, and the axes, lines and notes that they share.

Colours that begin with ``--`` are the page's own (CSS custom properties): the script fills them in, anew for
dark pages and for paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from xaiprune.report.palette import RANDOM

INK, FAINT, PAPER, ACCENT = "--ink", "--faint", "--paper", "--accent"
ABOVE = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}  # a legend over the figure


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        id: Of its element.
        title: Above it.
        caption: One sentence that a newcomer understands.
        data: plotly.js traces.
        layout: plotly.js layout, without what all figures share.
        height: Pixels.
        narrow: Layout for small screens, in place of what it names.
    """

    id: str
    title: str
    caption: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    height: int = 360
    narrow: Mapping[str, Any] = field(default_factory=dict)


def layer_axis(names: Sequence[str]) -> dict[str, Any]:
    """An axis of layers by name; only numbered where names would not fit."""
    if len(names) > 40:
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
    step = max(1, round(len(names) / 8))
    return {
        "title": {"text": "layer, in the order in which they run"},
        "tickvals": list(range(0, len(names), step)),
        "ticktext": [str(i + 1) for i in range(0, len(names), step)],
        "tickangle": 0,
        "range": [-0.5, len(names) - 0.5],
        "showgrid": False,
    }


def percent_axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "tickformat": ".0%"}


def line(*, x: float | None = None, y: float | None = None, dash: str = "dot") -> dict[str, Any]:
    """Across the whole figure, at an x or a y."""
    ends = {"x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y, "yref": "y"}
    if x is not None:
        ends = {"x0": x, "x1": x, "xref": "x", "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", "layer": "below", "line": {"color": RANDOM, "width": 1, "dash": dash}, **ends}


def note(text: str, y: float, side: str) -> dict[str, Any]:
    return {
        "text": text,
        "x": 0.005,
        "xref": "paper",
        "xanchor": "left",
        "y": y,
        "yanchor": side,
        "showarrow": False,
        "font": {"size": 11, "color": FAINT},
    }


def plain(values: pd.Series) -> list[Any]:
    """Plain numbers for JSON; missing ones are None."""
    return [None if pd.isna(value) else float(value) for value in values]
