"""The comparison as a table: boxed on a terminal, aligned plain text everywhere else."""

from __future__ import annotations

import math

import pandas as pd
from rich.console import Console
from rich.table import Table

from xaiprune.search.comparison import Comparison, summary

_COLUMNS = ("method", "top-1", "95 % interval", "mean over rates", "trapezoid")


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print who was compared and how each did on the test split.

    Args:
        comparison: What `xaiprune.search.final.compare_on_test` found.
        console: Where to print (stdout).
    """
    console = console or Console()
    title = caption(comparison)
    rows = table_rows(summary(comparison))
    if console.is_terminal:
        console.print(_boxed(title, rows))
    else:
        console.print(plain_text(title, rows), markup=False, highlight=False, soft_wrap=True)
    for line in footnotes(comparison):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def caption(comparison: Comparison) -> str:
    """One line: which network, which images, what was removed."""
    return (
        f"{comparison.network}: {100 * comparison.rate:g} % of {comparison.unit_count:,} {comparison.units} "
        f"removed, {comparison.test_images} test images, chance {percent(comparison.chance)}"
    )


def footnotes(comparison: Comparison) -> list[str]:
    """What a reader must know to take the figures for what they are."""
    lines = []
    if comparison.curve_images < comparison.test_images:
        lines.append(
            f"mean over rates, trapezoid: {comparison.curve_images} of the test images, as many of each class"
        )
    lines += [f"left out: {method}: {reason}" for method, reason in comparison.left_out.items()]
    return lines


def table_rows(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """The cells as text, in the order of the columns."""
    rows: list[tuple[str, ...]] = []
    for _, row in frame.iterrows():
        top1, low, high, mean, area = (
            float(row[c]) for c in ("top1", "low", "high", "curve_mean", "trapezoid")
        )
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
        rows.append((str(row["method"]), percent(top1), interval, percent(mean), percent(area)))
    return rows


def plain_text(title: str, rows: list[tuple[str, ...]]) -> str:
    """Aligned columns without any drawing characters."""
    lines = [_COLUMNS, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_COLUMNS))]
    text = [
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
    return "\n".join([title, *(line.rstrip() for line in text)])


def percent(fraction: float) -> str:
    """``"67.2 %"``; nothing for NaN."""
    return "" if math.isnan(fraction) else f"{100 * fraction:.1f} %"


def _boxed(title: str, rows: list[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(_COLUMNS):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0)
    for row in rows:
        table.add_row(*row, style="bold green" if row[0] == "best found" else None)
    return table
