"""The pictures, drawn from the CSV files alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from benchmarks.proof.pictures import grid
from benchmarks.proof.tables import read
from benchmarks.wide.cases import CASES, RESULTS
from benchmarks.wide.curves import NAME as CURVES
from benchmarks.wide.methods import OURS
from benchmarks.wide.searches import FOUND
from xaiprune.recipe import AUTO
from xaiprune.report.palette import BEST, method_styles

_SHOWN = 4  # of the others, beside Taylor: those that keep most


def draw() -> None:
    """Draw every picture whose figures are there."""
    frame = read(CURVES, RESULTS)
    if not len(frame):
        return
    titles = {case.name: case.title for case in CASES.values()}
    grid(RESULTS / f"{CURVES}.png", frame, partial(_curves, styles=_styles(frame)), titles)


def shown(rows: pd.DataFrame) -> list[str]:
    """Ours, Taylor, and the others that keep most in the mean over their points."""
    strength = rows[rows.left >= 0.6].groupby("method").top1.mean().sort_values(ascending=False)
    ours = [name for name in OURS if name in strength]
    others = [name for name in strength.index if name not in (*OURS, "taylor", "dense")]
    return [*ours, "taylor", *others[:_SHOWN]]


def _styles(frame: pd.DataFrame) -> dict[str, tuple[str, float, str, float]]:
    """The same line for a method in all panels."""
    names: Sequence[str] = dict.fromkeys(
        name for case in CASES if len(own := frame[frame.case == case]) for name in shown(own) if name != AUTO
    )
    styles = {
        name: (style.color, style.width, style.line, style.alpha)
        for name, style in method_styles(list(names), FOUND).items()
    }
    return styles | {AUTO: (BEST, 1.8, "--" if FOUND in names else "-", 1.0)}


def _curves(axes: Axes, rows: pd.DataFrame, styles: dict[str, tuple[str, float, str, float]]) -> None:
    dense = rows[rows.method == "dense"].top1.mean()
    for method in reversed(shown(rows)):
        own = rows[rows.method == method]
        mean = own.groupby("left")[["macs", "top1"]].mean().sort_index(ascending=False)
        color, width, line, alpha = styles[method]
        x, y = [1.0, *mean.macs], [dense, *mean.top1]
        axes.plot(x, y, line, color=color, lw=width, alpha=alpha, label=method, marker=".", ms=4)
        if method == FOUND and own.seed.nunique() > 1:
            spread = own.groupby("left").agg(macs=("macs", "mean"), low=("top1", "min"), high=("top1", "max"))
            axes.fill_between(spread.macs, spread.low, spread.high, color=color, alpha=0.15, lw=0)
    axes.axhline(dense, color="black", lw=1, ls=(0, (1, 2)))
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=8, loc="lower left")
    axes.set(xlim=(1.0, 0.38), ylim=(0, None), xlabel="MACs left", ylabel="top-1, test")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
