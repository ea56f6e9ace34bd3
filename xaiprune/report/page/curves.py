"""The page's curves: the best found among its strongest rivals, over rate and costs, and all others."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from xaiprune.comparison.table import Comparison
from xaiprune.report.curves import COST_NAMES, curve_axes, curve_points
from xaiprune.report.page.format import percent, plural, with_interval
from xaiprune.report.page.plot_parts import ABOVE, FAINT, PERCENT, Plot, add_level
from xaiprune.report.palette import BEST, RANDOM, Style, method_styles

# More lines than these repeat colours; the most accurate are shown, and each other one by itself.
TOGETHER = 8
_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
_ALWAYS = ("taylor", "random")
_PANEL, _SMALL = 300, 150  # pixels high: one above the other on small screens, and of a method by itself


def curves(comparison: Comparison) -> Plot:
    """Top-1 over the rate, and over MACs and parameters where they were counted at every rate."""
    points, dense = curve_points(comparison), _dense(comparison)
    over, styles = curve_axes(points), method_styles(list(points.method.unique()), comparison.best)
    figure = make_subplots(rows=1, cols=len(over), shared_yaxes=True, horizontal_spacing=0.06)
    for column, x in enumerate(over, start=1):
        for method in together(comparison):
            part = points[points.method == method].dropna(subset=x).sort_values("rate")
            _add_curve(figure, part, x, styles[method], column)
        figure.add_hline(comparison.chance, line={"color": RANDOM, "width": 1, "dash": "dot"}, col=column)
        title = "rate: part removed" if x == "rate" else f"{COST_NAMES[x]} left"
        span = [0, float(points.rate.max()) + 0.005] if x == "rate" else [1, 0]
        figure.update_xaxes(title_text=title, tickformat=PERCENT, range=span, col=column)
    add_level(figure, dense, f"dense {percent(dense)}", row=1, col=1)
    for column in range(2, len(over) + 1):
        figure.add_hline(dense, line={"color": RANDOM, "width": 1, "dash": "dot"}, col=column)
    figure.add_vline(comparison.rate, line={"color": RANDOM, "width": 1}, layer="below", col=1)
    figure.update_yaxes(tickformat=PERCENT, range=[0, 1.04])
    figure.update_yaxes(title_text=comparison.measure, col=1)
    figure.update_layout(height=440, legend=ABOVE)
    hidden = len(styles) - len(together(comparison))
    return Plot(
        "curves",
        "Accuracy as more is removed",
        f"Each line is one way to decide which {comparison.units} are removed first; the higher it stays, "
        f"the better its ranking. {_measure(comparison)} on "
        f"{plural(comparison.curve_images, f'test {comparison.noun}')}, no fine-tuning; "
        f"the band is the 95 % interval of the best found over the {comparison.examples}, random is the mean "
        f"of its seeds, the lower dotted line is chance ({percent(comparison.chance)}), the vertical line "
        "is the study's rate."
        f"{f' {hidden} less accurate methods are below, each by itself.' if hidden else ''}",
        figure,
        narrow=_stacked(figure, len(over)),
    )


def each(comparison: Comparison) -> Plot | None:
    """Every method that `curves` leaves out, by itself beside the best found; None: it leaves out none."""
    points, best = curve_points(comparison), comparison.best
    styles = method_styles(list(points.method.unique()), best)
    left = [method for method in _ranked(comparison) if method not in together(comparison)]
    if not left:
        return None
    figure = go.Figure()
    for place, method in enumerate(left, start=1):
        for shown, color, width in ((best, BEST, 1.2), (method, styles[method].color, 2.2)):
            part = points[points.method == shown].sort_values("rate")
            figure.add_scatter(
                mode="lines",
                name=shown,
                x=part.rate,
                y=part.top1,
                text=_intervals(part),
                hovertemplate="%{text} at %{x:.0%}<extra>%{fullData.name}</extra>",
                line={"color": color, "width": width},
                showlegend=False,
                xaxis=f"x{place}",
                yaxis=f"y{place}",
            )
    wide, narrow = _grid(left, 4, float(points.rate.max())), _grid(left, 2, float(points.rate.max()))
    figure.update_layout(wide)
    return Plot(
        "each",
        "The other methods, each by itself",
        f"{_measure(comparison)} over the rate: the method that stands above each panel, and the best found "
        "(thin, orange), from the most to the least accurate at the study's rate.",
        figure,
        narrow=narrow,
    )


def together(comparison: Comparison) -> list[str]:
    """The methods that are drawn together: the best, Taylor, random and the most accurate others."""
    ranked = _ranked(comparison)
    if len(ranked) <= TOGETHER:
        return ranked
    always = [m for m in ranked if m == comparison.best or m.partition(" (")[0] in _ALWAYS]
    others = [m for m in ranked if m not in always][: max(0, TOGETHER - len(always))]
    return [method for method in ranked if method in (*always, *others)]


def _measure(comparison: Comparison) -> str:
    return comparison.measure[0].upper() + comparison.measure[1:]


def _ranked(comparison: Comparison) -> list[str]:
    """All methods, the most accurate at the target rate first."""
    rows = comparison.frame[(comparison.frame.part == "target") & (comparison.frame.kind != "dense")]
    top1 = rows.groupby("method", sort=False).top1.mean()
    return [str(method) for method in top1.sort_values(ascending=False, kind="stable").index]


def _dense(comparison: Comparison) -> float:
    """Top-1 of the dense network: on the curve images, where it was measured there."""
    rows = comparison.frame[comparison.frame.kind == "dense"]
    return float(rows.sort_values("part").top1.iloc[0])


def _add_curve(figure: go.Figure, part: pd.DataFrame, x: str, style: Style, column: int) -> None:
    method = str(part.method.iloc[0])
    if style.bold:
        figure.add_scatter(
            x=[*part[x], *part[x][::-1]],
            y=[*part.high, *part.low[::-1]],
            fill="toself",
            fillcolor=f"{style.color}26",
            mode="lines",
            line_width=0,
            hoverinfo="skip",
            showlegend=False,
            legendgroup=method,
            zorder=1,
            row=1,
            col=column,
        )
    figure.add_scatter(
        mode="lines+markers",
        name=method,
        x=part[x],
        y=part.top1,
        text=[f"{text} at rate {rate:g}" for text, rate in zip(_intervals(part), part.rate, strict=True)],
        hovertemplate="%{text}<extra>%{fullData.name}</extra>",
        line={"color": style.color, "width": style.width, "dash": _DASHES[style.line]},
        marker={"size": 6 if style.bold else 3.5, "color": style.color},
        opacity=style.alpha,
        cliponaxis=False,
        legendgroup=method,
        showlegend=column == 1,
        zorder=3 if style.bold else 2,
        row=1,
        col=column,
    )


def _intervals(part: pd.DataFrame) -> list[str]:
    return [with_interval(*row) for row in part[["top1", "low", "high"]].itertuples(index=False)]


def _stacked(figure: go.Figure, panels: int) -> dict[str, Any]:
    """The panels one above the other, the legend below them."""
    layout = figure.layout.to_plotly_json()
    found: dict[str, Any] = {
        "height": _PANEL * panels + 180,
        "legend": {"orientation": "h", "x": 0, "y": -0.2 / panels, "yanchor": "top"},
    }
    for panel in range(panels):
        suffix = str(panel + 1) if panel else ""
        top = 1 - panel / panels
        found[f"xaxis{suffix}"] = {**layout[f"xaxis{suffix}"], "domain": [0, 1]}
        found[f"yaxis{suffix}"] = {
            **layout[f"yaxis{suffix}"],
            "domain": [top - 0.76 / panels, top],
            "showticklabels": True,
        }
    return found


def _grid(names: list[str], columns: int, highest: float) -> dict[str, Any]:
    """Layout of small panels, a name above each."""
    rows = math.ceil(len(names) / columns)
    layout: dict[str, Any] = {"height": _SMALL * rows + 60, "annotations": []}
    for place, name in enumerate(names):
        row, column = divmod(place, columns)
        suffix, bottom = str(place + 1) if place else "", 1 - (row + 1) / rows
        lowest = place + columns >= len(names)
        layout[f"xaxis{suffix}"] = {
            "domain": [(column + 0.04) / columns, (column + 0.96) / columns],
            "anchor": f"y{suffix}",
            "range": [0, highest],
            "tickformat": PERCENT,
            "nticks": 4,
            "showticklabels": lowest,
        }
        layout[f"yaxis{suffix}"] = {
            "domain": [bottom, bottom + 0.74 / rows],
            "anchor": f"x{suffix}",
            "range": [0, 1.04],
            "tickformat": PERCENT,
            "nticks": 3,
            "showticklabels": column == 0,
        }
        label = {"xref": f"x{suffix} domain", "yref": f"y{suffix} domain", "x": 0, "y": 1.0}
        layout["annotations"].append(
            {**label, "text": name, "showarrow": False, "xanchor": "left", "yanchor": "bottom"}
            | {"font": {"size": 11, "color": FAINT}}
        )
    return layout
