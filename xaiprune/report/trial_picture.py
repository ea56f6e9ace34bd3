"""One trial as a picture: its accuracy by rate, and the units kept in each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from optuna.trial import FrozenTrial

from xaiprune.files import replacing

_THIS, _OTHERS, _REMOVED = "#D55E00", "#9A9A9A", "#E6E6E6"
_NAMED_LAYERS = 40  # more names than that cannot be read


def draw_trial(
    trial: FrozenTrial,
    path: Path,
    *,
    others: Sequence[FrozenTrial] = (),
    dense: float | None = None,
    units: Mapping[str, int] | None = None,
    measure: str = "top-1",
) -> Path:
    """Draw a finished trial into a PNG.

    Left: top-1 on the validation images at the rates that were measured, with 95 % intervals, and that of
        other
    trials. Right: units kept in each layer, at the last of these rates.

    Args:
        trial: Finished, of a study that prunes.
        path: The file to write; on an error it stays as it was.
        others: The study's other trials.
        dense: Top-1 of the dense network, a fraction.
        units: Unit layer -> its units, in execution order; None: only the units kept are drawn.
        measure: What a trial's figures are called.
    """
    kept: Mapping[str, int] = trial.user_attrs.get("kept", {})
    height = min(9.0, max(3.4, 0.16 * len(kept) + 1.0))
    figure = Figure(figsize=(9.6, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _draw_top1(left, trial, others, dense, measure)
    _draw_kept(right, kept, units or {})
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return path


def _draw_top1(
    axes: Axes, trial: FrozenTrial, others: Sequence[FrozenTrial], dense: float | None, measure: str
) -> None:
    for other in others:
        rates, top1 = _points(other.user_attrs.get("scores", ()))
        axes.plot(rates, top1, "o", color=_OTHERS, ms=3, alpha=0.5, zorder=1)
    scores = sorted(trial.user_attrs["scores"], key=lambda score: float(score["rate"]))
    rates, top1 = _points(scores)
    errors = [
        [t - score["low"] for t, score in zip(top1, scores, strict=True)],
        [score["high"] - t for t, score in zip(top1, scores, strict=True)],
    ]
    axes.errorbar(rates, top1, errors, fmt="o-", color=_THIS, lw=2, ms=5, capsize=3, zorder=3)
    for rate, value in zip(rates, top1, strict=True):
        if len(rates) < 4:
            axes.annotate(
                f"{100 * value:.1f} %", (rate, value), (9, 0), textcoords="offset points", va="center"
            )
    if dense is not None:
        axes.axhline(dense, color="black", lw=1, ls=(0, (1, 2)))
        axes.text(0.005, dense + 0.012, f"dense {100 * dense:.1f} %", fontsize=8)
    axes.set(xlim=(0, 1), ylim=(0, 1.06), xlabel="rate", ylabel=f"{measure} on the validation images")
    axes.set_title(f"trial {trial.number}" + (", grey: others" if others else ""), loc="left", fontsize=10)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.15, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_kept(axes: Axes, kept: Mapping[str, int], units: Mapping[str, int]) -> None:
    """A bar a layer, the first at the top: units kept, and in light grey those removed."""
    if not kept:
        axes.set_axis_off()
        return
    names = [name for name in units if name in kept] or list(kept)
    places = range(len(names))
    totals = [units.get(name, kept[name]) for name in names]
    axes.barh(places, totals, color=_REMOVED, height=0.8)
    axes.barh(places, [kept[name] for name in names], color=_THIS, height=0.8)
    axes.invert_yaxis()
    if len(names) <= _NAMED_LAYERS:
        axes.set_yticks(list(places), names, fontsize=7)
    else:
        axes.set_ylabel(f"{len(names)} layers, the first at the top")
        axes.set_yticks([])
    axes.set_xlabel("units")
    axes.set_title(
        f"kept: {sum(kept[n] for n in names):,} of {sum(totals):,} units" if units else "kept units",
        loc="left",
        fontsize=10,
    )
    axes.spines[["top", "right"]].set_visible(False)


def _points(scores: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    """Rates and top-1 of the scores that were measured on images."""
    measured = [score for score in scores if score.get("images")]
    return [s["rate"] for s in measured], [s["correct"] / s["images"] for s in measured]
