"""The proof's pictures, drawn from the CSV files alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from benchmarks.proof.cases import CASES, RESULTS
from benchmarks.proof.compensation import curves as compensation_curves
from benchmarks.proof.explaining import measured as explained_trials
from benchmarks.proof.kept import SIGNED_PRESET, best_of
from benchmarks.proof.rankings import OURS
from benchmarks.proof.studies import STAGES
from benchmarks.proof.tables import read
from xaiprune.files import replacing
from xaiprune.report.palette import BEST, TAYLOR, method_styles

_SHOWN = 7  # methods named in the picture: ours, Taylor, chance and the strongest others
_ALWAYS = ("taylor", "random")
_LINES = {"none": "-", "mean": ":", "linear": "--"}


def draw() -> None:
    """Draw every picture whose figures are there."""
    for name, (frame, one) in {
        "curves": (read("curves"), curves),
        "half": (read("half"), half),
        "compensation": (compensation_curves(), compensation),
        "explaining": (explained_trials(), explaining),
    }.items():
        if len(frame):
            grid(RESULTS / f"{name}.png", frame, one, {case.name: case.title for case in CASES.values()})


def curves(axes: Axes, frame: pd.DataFrame) -> None:
    """Top-1 over the rate: means over the seeds, ours with the range of its seeds."""
    rows = frame[(frame.part == "curve") & (frame.method != "dense")]
    dense = frame[(frame.part == "curve") & (frame.method == "dense")].top1.mean()
    means = rows.groupby(["method", "rate"]).top1.mean().unstack().sort_index(axis=1)
    means.insert(0, 0.0, dense)
    ours = OURS if OURS in means.index else means.index[0]
    strength = means.drop(index=rows[rows.kind == "best"].method.unique()).mean(axis=1)
    others = [name for name in strength.sort_values(ascending=False).index if name not in _ALWAYS]
    shown = [ours, _ALWAYS[0], *others[: _SHOWN - 3], _ALWAYS[1]]
    styles = method_styles(shown, ours)
    for method in reversed(shown):
        curve, style = means.loc[method], styles[method]
        axes.plot(
            curve.index, curve, style.line, color=style.color, lw=style.width, alpha=style.alpha, label=method
        )
    spread = rows[rows.method == ours].groupby("rate").top1
    axes.fill_between(spread.min().index, spread.min(), spread.max(), color=BEST, alpha=0.15, lw=0)
    axes.axhline(dense, color="black", lw=1, ls=(0, (1, 2)))
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=8)
    _rates(axes, "test")


def half(axes: Axes, frame: pd.DataFrame) -> None:
    """What is left where the strongest preset has lost half: means over the seeds, a dot a seed."""
    by_score = {stage.name for stage in STAGES if not stage.joint}
    place, ticks, groups = 0.0, {}, []
    for compensate, part in frame.groupby("compensate", sort=False):
        seeds = [own for _, own in part.groupby("seed")]
        preset = str(part[part.kind == "preset"].method.iloc[0]).removeprefix("LRP ").replace("_", "\n")
        first = place
        for label, color, alpha, rows in (
            (preset, TAYLOR, 0.75, part[part.kind == "preset"]),
            (f"{preset}\njoint", TAYLOR, 0.4, part[part.kind == "joint"]),
            ("presets,\nsigned,\njoint", TAYLOR, 0.4, part[part.kind == SIGNED_PRESET]),
            ("best\nsearch,\nscore", BEST, 0.4, _best([s[s.method.isin(by_score)] for s in seeds])),
            ("best\nsearch", BEST, 0.75, _best(seeds)),
        ):
            axes.bar(place, rows.top1.mean(), width=0.8, color=color, alpha=alpha)
            axes.plot([place] * len(rows), rows.top1, "o", ms=4, color="black", alpha=0.6)
            ticks[place] = label
            place += 1
        how = "no compensation" if compensate == "none" else f"{compensate} compensation"
        groups.append(((first + place - 1) / 2, f"{how}, {part.rate.iloc[0]:.0%} removed"))
        place += 0.7
    top = frame.top1.max() * 1.12
    for middle, title in groups:
        axes.text(middle, top, title, ha="center", va="bottom", fontsize=9)
    axes.set_xticks(list(ticks), list(ticks.values()), fontsize=8)
    axes.set(ylim=(0, top * 1.1), ylabel="top-1, test")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _best(seeds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of each seed's searches the one that is best on validation images."""
    ours = [rows[rows.kind == "ours"] for rows in seeds]
    return pd.concat([rows[rows.method == best_of(rows)] for rows in ours])


def compensation(axes: Axes, frame: pd.DataFrame) -> None:
    """Top-1 over the rate by ranking (colour) and compensation (line)."""
    for method, color, width in (
        (OURS, BEST, 1.2),
        ("taylor", TAYLOR, 1.2),
        ("best search", BEST, 2.6),
        ("taylor, joint order", TAYLOR, 2.6),
    ):
        for compensate, line in _LINES.items():
            own = (
                frame[(frame.method == method) & (frame.compensate == compensate)].groupby("rate").top1.mean()
            )
            if len(own):
                axes.plot(own.index, own, line, color=color, lw=width, label=f"{method}, {compensate}")
    axes.legend(frameon=False, fontsize=8)
    _rates(axes, "test")


def explaining(axes: Axes, frame: pd.DataFrame) -> None:
    """Faithfulness of the heatmaps over the pruning score, a dot a trial."""
    for (search, own), color in zip(frame.groupby("space", sort=False), (TAYLOR, BEST), strict=False):
        axes.errorbar(
            own.validation_top1,
            own.faithfulness,
            yerr=[own.faithfulness - own.low, own.high - own.faithfulness],
            fmt="o",
            ms=4,
            color=color,
            ecolor="#BBBBBB",
            lw=0.8,
            label=str(search),
        )
    if frame.space.nunique() > 1:
        axes.legend(frameon=False, fontsize=8)
    for _, row in frame[frame.preset.notna()].iterrows():
        place = (row.validation_top1, row.faithfulness)
        axes.annotate(str(row.preset), place, fontsize=7, xytext=(4, 3), textcoords="offset points")
    axes.set(xlabel="top-1 after pruning, validation", ylabel="faithfulness, logits (LeRF - MoRF)")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def grid(
    file: Path, frame: pd.DataFrame, one: Callable[[Axes, pd.DataFrame], None], titles: Mapping[str, str]
) -> None:
    """A picture with a panel for each case.

    Args:
        file: Written.
        frame: The rows of all cases.
        one: Draws a panel from its case's rows.
        titles: Case -> what stands above its panel, in this order.
    """
    cases = [case for case in titles if case in set(frame.case)]
    columns = min(2, len(cases))
    lines = -(-len(cases) // columns)
    figure = Figure(figsize=(6.2 * columns, 4.4 * lines), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    for place, case in enumerate(cases):
        axes = figure.add_subplot(lines, columns, place + 1)
        part = frame[frame.case == case]
        one(axes, part)
        seeds = part.seed.nunique()
        axes.set_title(f"{titles[case]} ({seeds} seed{'s' if seeds > 1 else ''})", loc="left", fontsize=10)
        axes.grid(alpha=0.15, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(file) as path:
        figure.savefig(path, metadata={"Software": None})


def _rates(axes: Axes, split: str) -> None:
    axes.set(ylim=(0, None), xlim=(0, None), xlabel="rate: units removed", ylabel=f"top-1, {split}")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
