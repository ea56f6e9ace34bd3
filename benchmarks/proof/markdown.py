"""Figures and tables as people read them: percents with intervals, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd


def figure(rows: pd.DataFrame) -> str:
    """A seed's figure with its interval; of several random rankings their mean."""
    if not len(rows):
        return ""
    return interval(rows.iloc[0]) if len(rows) == 1 else percent(rows.top1.mean())


def interval(row: pd.Series) -> str:
    """Top-1 with its interval."""
    return f"{percent(row.top1)} [{percent(row.low)}, {percent(row.high)}]"


def spread(values: pd.Series) -> str:
    """The mean, and the range where there are several."""
    low, high = values.min(), values.max()
    return percent(values.mean()) + (f" ({percent(low)} to {percent(high)})" if high > low else "")


def difference(row: pd.Series) -> str:
    """Points, and whether chance could have made them."""
    return f"{100 * row.difference:+.1f}" + ("" if row.p < 0.05 else " (n.s.)")


def percent(value: float) -> str:
    """A fraction in percent, without the sign."""
    return f"{100 * value:.1f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return [_line(head), "|" + "---|" * len(head), *(_line(row) for row in rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
