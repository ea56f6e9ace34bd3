"""The comparison as a table of at most 80 columns: coloured on a terminal, plain text everywhere else."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAVY
from rich.console import Console
from rich.table import Table

from xaiprune.comparison.table import Comparison, rivals, summary

# In several lines, so that the longest method names fit beside them.
_AT_TARGET = ("method", "", "95 %\ninterval", "MACs\nleft", "p")
_OF_CURVE = ("mean\nover\nrates", "trape-\nzoid", "rate\nat\n95 %")
_OF_TEXT = ("per-\nplexity", "95 %\ninterval", "p", "rate\nat\n95 %")  # in place of the means over the curve

_WIDTH = 80

# Images that only one of two methods must get right for p < 0.05 in McNemar's exact test: 2 * 0.5**6 = 0.03.
_LEAST = 6
_FEW = 0.05  # part of the test images; where `_LEAST` is more of them, real differences go unseen


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print who was compared and how each did on the test split.

    Args:
        comparison: From `xaiprune.comparison.run.compare_on_test`.
        console: Where to print (stdout).
    """
    console = console or Console()
    console.print(caption(comparison), style="bold", markup=False, highlight=False, soft_wrap=True)
    table = comparison_table(
        table_rows(by_top1(summary(comparison))),
        comparison.best,
        boxed=console.is_terminal,
        figure=_heading(comparison.measure),
        text=comparison.window is not None,
    )
    # At its natural width also where the console is narrower: a cell that is cut off is lost.
    table.width = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.print(table, crop=False)
    for line in footnotes(comparison):
        for part in textwrap.wrap(line, _WIDTH, subsequent_indent="  "):
            console.print(part, markup=False, highlight=False, soft_wrap=True)


def by_top1(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `summary`: the dense network first, then the most accurate at the target rate."""
    ranked = frame.sort_values("top1", ascending=False, kind="stable")
    return pd.concat([ranked[ranked.kind == "dense"], ranked[ranked.kind != "dense"]])


def comparison_table(
    rows: Sequence[Sequence[str]],
    best: str = "",
    *,
    boxed: bool = False,
    figure: str = "top-1",
    text: bool = False,
) -> Table:
    """Cells as a table.

    Args:
        rows: One a method, from `table_rows`.
        best: Method whose row stands out.
        boxed: Draw a line below the headings; else there are only spaces.
        figure: Heading of the figures at the target rate.
        text: Whether the rows are of text, with perplexity.
    """
    table = Table(
        box=SIMPLE_HEAVY if boxed else None,
        padding=(0, 1 if boxed else 2, 0, 0),  # a box adds a space between columns
        pad_edge=False,
        show_edge=False,
    )
    for number, heading in enumerate((*_AT_TARGET, *(_OF_TEXT if text else _OF_CURVE))):
        table.add_column(
            heading or figure, justify="right" if number else "left", vertical="bottom", no_wrap=True
        )
    for row in rows:
        table.add_row(*row, style="bold green" if row[0] == best else None)
    return table


def caption(comparison: Comparison) -> str:
    """One line: which network, which images, what was removed."""
    count = f"{comparison.test_images} test {comparison.examples}"
    if comparison.window is not None:
        count += f" of {comparison.window} tokens, {comparison.measure} and perplexity"
    else:
        count += f"{_without_labels(comparison)}, chance {percent(comparison.chance)}"
    return (
        f"{comparison.network}: {100 * comparison.rate:g} % of {comparison.unit_count:,} {comparison.units} "
        f"removed, {count}"
    )


def _heading(measure: str) -> str:
    """``top-1``, ``agreement``: the first word, for a narrow column."""
    return measure.partition(" ")[0]


def _without_labels(comparison: Comparison) -> str:
    return "" if comparison.measure == Comparison.measure else f" without labels, {comparison.measure}"


def footnotes(comparison: Comparison) -> list[str]:
    """What a reader must know to read the figures right."""
    lines = _paired_lines(comparison)
    count, examples = comparison.test_images, comparison.examples
    if comparison.window is None and _FEW * count < _LEAST:
        lines.append(
            f"few test images: with {count}, no difference below {100 * _LEAST / count:.0f} points can be "
            "told from chance; data.test_per_class or data.test_root gives more"
        )
    rates = sorted(comparison.frame[comparison.frame.kind == "best"].query("part == 'curve'").rate)
    if rates:
        images = "all" if comparison.curve_images == comparison.test_images else f"{comparison.curve_images}"
        which = "" if images == "all" or comparison.window is not None else ", as many of each class"
        lines.append(
            f"curves: {len(rates)} rates from {rates[0]:g} to {rates[-1]:g}, {images} test {examples}{which}"
            f"; rate at 95 %: the highest of them up to which {comparison.measure} is at least 95 % of the "
            "dense network's"
        )
    lines += [f"left out: {method}: {reason}" for method, reason in comparison.left_out.items()]
    return lines


def _paired_lines(comparison: Comparison) -> list[str]:
    """The best found against the most accurate others, image by image."""
    if not comparison.against:
        return []
    text = comparison.window is not None
    test = "exact sign test over windows" if text else "exact McNemar test"
    same = f"against the method on the same {comparison.examples}"
    lines = [f"p: {comparison.best} {same}, {test}, two-sided"]
    alone = "windows in which {} gets more tokens right" if text else "images that only {} gets right"
    for kind, method in sorted(rivals(comparison).items(), reverse=True):
        found = comparison.paired(method)
        # Taylor is compared as a criterion but counts as a preset.
        what = {"preset": "best preset", "criterion": "best other criterion", "peer": "best peer"}[kind]
        if found is not None:
            lines.append(
                f"{what} {method}: {found.only_first} {alone.format(comparison.best)}, "
                f"{found.only_second} {f'in which {method} does' if text else f'that only {method} does'}, "
                f"p {p_text(found.p)} (chosen on these {comparison.examples}, which favours it)"
            )
    return lines


def table_rows(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """The cells as text, in the order of the columns."""
    rows: list[tuple[str, ...]] = []
    for _, row in frame.iterrows():
        top1, low, high, left, p, mean, area, kept = (
            float(row[c])
            for c in ("top1", "low", "high", "macs", "p", "curve_mean", "trapezoid", "rate_kept")
        )
        interval = f"{100 * low:.1f} to {100 * high:.1f}".replace("100.0", "100")
        on_curve = "" if math.isnan(mean) else "none" if math.isnan(kept) else f"{100 * kept:g} %"
        at_target = (percent(top1), interval, macs_text(left), p_text(p))
        text = "perplexity" in frame.columns
        along = perplexity_cells(row) if text else (percent(mean), percent(area))
        rows.append((str(row["method"]), *at_target, *along, on_curve))
    return rows


def perplexity_cells(row: Mapping[Any, Any] | pd.Series) -> tuple[str, str, str]:
    """Perplexity, its interval, and p of the paired test, of a row of `summary`."""
    bounds = f"{row['perplexity_low']:.2f} to {row['perplexity_high']:.2f}"
    return f"{row['perplexity']:.2f}", bounds, p_text(row["p_perplexity"])


def p_text(p: float) -> str:
    """``"0.031"``, ``"<0.001"``; nothing for NaN."""
    return "" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def macs_text(left: float) -> str:
    """``"0.84"`` of the dense network's MACs; nothing for NaN."""
    return "" if math.isnan(left) else f"{left:.2f}"


def percent(fraction: float) -> str:
    """``"67.2 %"``; nothing for NaN."""
    return "" if math.isnan(fraction) else f"{100 * fraction:.1f} %"
