"""The tables of the pages, written between their markers from the CSV files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks import marked
from benchmarks.proof.markdown import interval, percent, spread, table
from benchmarks.proof.tables import read
from benchmarks.wide import best
from benchmarks.wide.cases import CASES, RESULTS
from benchmarks.wide.curves import LEFT
from benchmarks.wide.curves import NAME as CURVES
from benchmarks.wide.methods import OURS
from benchmarks.wide.reading import Reading, read_curves
from benchmarks.wide.references import NAME as REFERENCES
from benchmarks.wide.searches import FOUND
from xaiprune.recipe import AUTO

_NEAR = 0.015  # MACs by which a point may miss its column's
PAGES = (
    RESULTS.parent / "README.md",
    RESULTS / "README.md",
    Path("README.md"),
    best.FOLDER / "README.md",
)


def refresh() -> None:
    """Write every marked table anew."""
    marked.refresh(PAGES, "wide", TABLES)


def rendered(text: str) -> str:
    """A page's text with its tables as the CSV files have them now."""
    return marked.rendered(text, "wide", TABLES)


def _headline(_: str) -> list[str]:
    """What is left at MACs that a reader can picture, one row a network."""
    frame = read(CURVES, RESULTS)
    rows = []
    first = {CASES[case].weights: case for case in reversed(_measured(frame))}
    for case in [case for case in _measured(frame) if case in first.values()]:
        own = frame[frame.case == case]
        left = _shown_left(own)
        point = own[(own.left == left) & _is_at(own)]
        baselines = point[~point.method.isin(OURS)].groupby("method").top1.mean()
        strongest = str(baselines.idxmax())
        cells = [_mean(point[point.method == name]) for name in (FOUND, AUTO, strongest, "taylor")]
        dense = percent(own[own.method == "dense"].top1.mean())
        cells[2] = f"{cells[2]} ({strongest})"
        rows.append([CASES[case].title, dense, f"{point.macs.mean():.2f}", *cells])
    head = ["top-1, %", "dense", "MACs left", "searched", "auto", "strongest other", "Taylor"]
    return _table(head, rows, whole=True)


def _readings(_: str) -> list[str]:
    """The comparison that the proof is about, one row a network."""
    frame = read(CURVES, RESULTS)
    rows = []
    for case in _measured(frame):
        own = frame[frame.case == case]
        readings = [read_curves(part) for _, part in own.groupby("seed")]
        strongest = " / ".join(dict.fromkeys(reading.strongest for reading in readings))
        rows.append(
            [
                CASES[case].title,
                f"{strongest}, {_numbers([r.half_macs for r in readings], '{:.2f}')}",
                *(_numbers([_ahead(r, name) for r in readings], "{:+.1f}") for name in (FOUND, AUTO)),
                *(_numbers([_ratio(r, name) for r in readings], "{:.2f}") for name in (FOUND, AUTO)),
                _numbers([100 * r.auto_behind for r in readings], "{:.1f}"),
            ]
        )
    head = ["", "strongest other, MACs at which it has lost half", "searched, points more there"]
    head += [
        "auto, points more there",
        "MACs saved by searched, other = 1",
        "MACs saved by auto, other = 1",
    ]
    head += ["auto behind searched, points"]
    return _table(head, rows)


def _curves(case: str) -> list[str]:
    """Every method over the MACs that are left, means over the seeds."""
    frame = read(CURVES, RESULTS)
    own = frame[frame.case == case] if len(frame) else frame
    if not len(own):
        return []
    strength = own[own.method != "dense"].groupby("method").top1.max()
    order = own[(own.left == 0.8)].groupby("method").top1.mean().reindex(strength.index).fillna(0.0)
    rank = {name: number for number, name in enumerate(OURS)}
    names = sorted(strength.index, key=lambda name: (rank.get(name, len(OURS)), -order[name]))
    dense = own[own.method == "dense"]
    rows = []
    for name in names:
        points = own[own.method == name]
        at = [points[points.left == left] for left in LEFT]
        cells = [_mean(there) + ("" if name == names[0] else _remarks(there)) for there in at]
        rows.append([f"**{name}**" if name in OURS else name, *cells])
    seeds = own.seed.nunique()
    head = [f"top-1, % ({seeds} seed{'s' if seeds > 1 else ''})", *(f"{left:g}" for left in LEFT)]
    interval = (
        f"Dense: {percent(dense.top1.mean())} [{percent(dense.low.min())}, {percent(dense.high.max())}]."
    )
    return [interval, "", *table(head, rows)]


def _references(_: str) -> list[str]:
    """What references are worth, one column a network."""
    frame = read(REFERENCES, RESULTS)
    cases = _measured(frame)
    rows = []
    for title in dict.fromkeys(frame.references if len(frame) else []):
        own = frame[frame.references == title]
        rows.append([str(title), *(_mean(own[own.case == case]) for case in cases)])
    return table(["references", *(CASES[case].title for case in cases)], rows) if rows else []


TABLES: dict[str, Callable[[str], list[str]]] = {
    "headline": _headline,
    "readings": _readings,
    "curves": _curves,
    "references": _references,
    "best": best.rows,
}


def _table(head: list[str], rows: list[list[str]], *, whole: bool = False) -> list[str]:
    """Without the columns that nothing is measured of yet, or (``whole``) not every row."""
    enough = all if whole else any
    shown = [place for place in range(len(head)) if enough(row[place] for row in rows)]
    return (
        table([head[place] for place in shown], [[row[place] for place in shown] for row in rows])
        if rows
        else []
    )


def _measured(frame: pd.DataFrame) -> list[str]:
    return [case for case in CASES if len(frame) and case in set(frame.case)]


def _shown_left(rows: pd.DataFrame) -> float:
    """The point at which ours have lost some and others much: the first where `auto` has lost ten points."""
    dense = rows[rows.method == "dense"].top1.mean()
    means = rows[rows.method == AUTO].groupby("left").top1.mean().sort_index(ascending=False)
    return float(next((left for left, top1 in means.items() if top1 <= dense - 0.1), means.index[-1]))  # type: ignore[arg-type]


def _ahead(reading: Reading, method: str) -> float:
    return 100 * (reading.at_half.get(method, math.nan) - reading.at_half[reading.strongest])


def _ratio(reading: Reading, method: str) -> float:
    return reading.saved.get(method, math.nan) / max(reading.saved[reading.strongest_saved], 1e-9)


def _remarks(rows: pd.DataFrame) -> str:
    """Other MACs than the column's; else whether chance could have made the difference from the first."""
    if len(rows) and not _is_at(rows).all():
        return f" at {rows.macs.mean():.2f}"
    return " (n.s.)" if (rows.p.dropna() >= 0.05).any() else ""


def _is_at(rows: pd.DataFrame) -> pd.Series:
    """Whether points lie where they should: whoever prunes every layer alike has few sizes to choose from."""
    return (rows.macs - rows.left).abs() < _NEAR


def _mean(rows: pd.DataFrame) -> str:
    """A seed's figure with its interval; of several the mean and their range."""
    if not len(rows):
        return ""
    return interval(rows.iloc[0]) if len(rows) == 1 else spread(rows.top1)


def _numbers(values: list[float], form: str) -> str:
    """The mean, and the seeds' figures where there are several."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return ""
    mean = form.format(sum(known) / len(known))
    return mean if len(known) == 1 else f"{mean} ({', '.join(form.format(value) for value in known)})"
