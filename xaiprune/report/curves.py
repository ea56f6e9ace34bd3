"""Accuracy over rate, MACs and parameters as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from xaiprune.comparison.table import COSTS, Comparison
from xaiprune.files import replacing
from xaiprune.report.palette import Style, method_styles

COST_NAMES = {"macs": "MACs", "params": "parameters"}
_PANEL, _NAMES, _LINE = 4.6, 3.0, 15  # inches of a panel and of the names; points from one name to the next


def draw_curves(comparison: Comparison, path: Path) -> Path:
    """Draw top-1 over the rate, and over the MACs and parameters that are left, for every method into a PNG.

    It is drawn without pyplot, so that a user's backend and open figures do not change.

    Args:
        comparison: What was measured. Of an earlier version that counted no costs along the rates, only the
            rate is drawn.
        path: The file to write; on an error it stays as it was.
    """
    curves = curve_points(comparison)
    styles = method_styles([str(method) for method in curves.method.unique()], comparison.best)
    over = curve_axes(curves)
    # As high as the names beside the axes need.
    height = max(5.0, (len(styles) + 2) * _LINE / 72 + 0.9)
    figure = Figure(figsize=(_PANEL * len(over) + _NAMES, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    widths = [*[_PANEL] * len(over), _NAMES]
    *panels, beside = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for axes, x in zip(panels, over, strict=True):
        _frame(axes, comparison, x, float(curves.rate.max()))
        for method, style in styles.items():
            curve = curves[curves.method == method].dropna(subset=x).sort_values("rate")
            order = 3 if style.bold else 2
            line = {"color": style.color, "alpha": style.alpha, "zorder": order}
            axes.plot(curve[x], curve.top1, style.line, lw=style.width, **line)
            if style.bold:
                axes.plot(curve[x], curve.top1, "o", ms=4, clip_on=False, **line)
    panels[0].set_ylabel(f"{comparison.measure} on {comparison.curve_images} test {comparison.examples}")
    panels[0].set_title(f"{comparison.network}: which units are removed first?", loc="left", fontsize=12)
    _name(beside, comparison, styles)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return path


def curve_points(comparison: Comparison) -> pd.DataFrame:
    """The points of all curves, seeds averaged.

    Returns:
        One row a method and rate, methods in the order of comparison: ``method``, ``rate``, ``top1``,
        ``low``, ``high`` and `COSTS`, NaN where they are not known.
    """
    rows = comparison.frame[comparison.frame.kind != "dense"]
    if comparison.curve_images < comparison.test_images:
        rows = rows[rows.part == "curve"]  # the target rows are of other images
    shown = ["top1", "low", "high", *COSTS]
    return rows.groupby(["method", "rate"], sort=False)[shown].mean().reset_index()


def curve_axes(points: pd.DataFrame) -> list[str]:
    """What the curves can be drawn over: the rate, and the costs that are known at more than one rate."""
    return ["rate", *(cost for cost in COSTS if points[points[cost].notna()].rate.nunique() > 1)]


def _frame(axes: Axes, comparison: Comparison, x: str, highest: float) -> None:
    dense = comparison.frame[comparison.frame.kind == "dense"].top1.iloc[0]
    level: dict[str, Any] = {"color": "black", "lw": 1, "ls": (0, (1, 2)), "zorder": 1}
    axes.axhline(dense, **level)
    axes.axhline(comparison.chance, alpha=0.6, **level)
    if x == "rate":
        axes.text(0.004, dense + 0.012, f"dense {100 * dense:.1f} %", fontsize=9, va="bottom")
        axes.text(0.004, comparison.chance - 0.012, "chance", fontsize=9, va="top", alpha=0.7)
        axes.axvline(comparison.rate, color="black", lw=0.8, alpha=0.25, zorder=1)
        axes.set(xlim=(0, highest))
        axes.set_xlabel(f"rate: part of the {comparison.unit_count:,} {comparison.units} removed")
    else:
        axes.set(xlim=(1, 0))  # the dense network at the left, as for the rate
        axes.set_xlabel(f"{COST_NAMES[x]} left, part of the dense network's")
    axes.set(ylim=(0, 1.06))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.15, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _name(axes: Axes, comparison: Comparison, styles: dict[str, Style]) -> None:
    """All names in a column, ordered by top-1 at the target rate, which stands there, too.

    Not at the ends of the curves: at high rates they all meet at chance.
    """
    axes.set_axis_off()
    target = comparison.frame[comparison.frame.part == "target"].groupby("method").top1.mean()
    ranking = sorted(styles, key=lambda method: target[method], reverse=True)
    lines = [Line2D([], [], color=s.color, ls=s.line, lw=s.width) for s in map(styles.get, ranking) if s]
    names = axes.legend(
        lines,
        [f"{100 * target[method]:.1f} %  {method}" for method in ranking],
        title=f"{comparison.measure} at {100 * comparison.rate:g} % removed, no fine-tuning",
        loc="upper left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0,
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        alignment="left",
        handlelength=2.6,
    )
    for method, text in zip(ranking, names.get_texts(), strict=True):
        text.set_fontweight("bold" if styles[method].bold else "normal")
