"""Accuracy-rate curves as a picture."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from xaiprune.comparison.table import Comparison
from xaiprune.files import replacing
from xaiprune.report.palette import Style, method_styles

_LINE = 14  # points from one name to the next


def draw_curves(comparison: Comparison, path: Path) -> Path:
    """Draw top-1 over the rate for every method into a PNG.

    It is drawn without pyplot, so that a user's backend and open figures do not change.

    Args:
        comparison: What was measured.
        path: The file to write; on an error it stays as it was.
    """
    curves = _curves(comparison)
    # As high as the names beside the axes need.
    height = max(5.0, (len(curves) + 1) * _LINE / 72 + 0.9)
    figure = Figure(figsize=(8.8, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _frame(axes, comparison, max(curve.index.max() for curve in curves.values()))
    styles = method_styles(list(curves), comparison.best)
    for method, curve in curves.items():
        style = styles[method]
        order = 3 if style.bold else 2
        axes.plot(
            curve.index, curve, style.line, color=style.color, lw=style.width, alpha=style.alpha, zorder=order
        )
        if style.bold:
            axes.plot(curve.index, curve, "o", color=style.color, ms=4, zorder=order, clip_on=False)
    _label(axes, comparison, styles)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return path


def _curves(comparison: Comparison) -> dict[str, pd.Series]:
    """Method -> top-1 by rate (seeds averaged), the best found first."""
    rows = comparison.frame[comparison.frame.kind != "dense"]
    if comparison.curve_images < comparison.test_images:
        rows = rows[rows.part == "curve"]  # the target rows are of other images
    return {
        str(method): part.groupby("rate").top1.mean().sort_index()
        for method, part in rows.groupby("method", sort=False)
    }


def _frame(axes: Axes, comparison: Comparison, highest: float) -> None:
    dense = comparison.frame[comparison.frame.kind == "dense"].top1.iloc[0]
    axes.axhline(dense, color="black", lw=1, ls=(0, (1, 2)), zorder=1)
    axes.text(0.004, dense + 0.012, f"dense {100 * dense:.1f} %", fontsize=9, va="bottom")
    axes.axhline(comparison.chance, color="black", lw=1, ls=(0, (1, 2)), alpha=0.6, zorder=1)
    axes.text(0.004, comparison.chance - 0.012, "chance", fontsize=9, va="top", alpha=0.7)
    axes.axvline(comparison.rate, color="black", lw=0.8, alpha=0.25, zorder=1)
    axes.set(xlim=(0, highest), ylim=(0, 1.06))
    axes.set_xlabel(f"rate: part of the {comparison.unit_count:,} {comparison.units} removed, no fine-tuning")
    axes.set_ylabel(f"{comparison.measure} on {comparison.curve_images} test {comparison.examples}")
    axes.set_title(f"{comparison.network}: which units are removed first?", loc="left", fontsize=12)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.15, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _label(axes: Axes, comparison: Comparison, styles: dict[str, Style]) -> None:
    """Names beside the axes, ordered by top-1 at the target rate, which stands there, too.

    Not at the ends of the curves: at high rates they all meet at chance.
    """
    target = comparison.frame[comparison.frame.part == "target"].groupby("method").top1.mean()
    ranking = sorted(styles, key=lambda method: target[method], reverse=True)
    _beside(axes, 0, f"{comparison.measure} at {100 * comparison.rate:g} % removed", "black")
    for position, method in enumerate(ranking, start=1):
        style = styles[method]
        # Needed where another method has the same colour.
        line = {":": " (dotted)", "-.": " (dash-dotted)"}.get(style.line, "")
        text = f"{100 * target[method]:.1f} %  {method}{line}"
        _beside(axes, position, text, style.color, bold=style.bold)


def _beside(axes: Axes, position: int, text: str, color: str, *, bold: bool = False) -> None:
    axes.annotate(
        text,
        xy=(1, 1),
        xycoords="axes fraction",
        xytext=(8, -_LINE * position),
        textcoords="offset points",
        color=color,
        fontsize=9,
        fontweight="bold" if bold else "normal",
        va="top",
        annotation_clip=False,
    )
