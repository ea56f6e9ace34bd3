"""What the curves say, by interpolation between the measured points; of the CSV files alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.wide.methods import OURS
from benchmarks.wide.searches import FOUND
from xaiprune.recipe import AUTO

HALF, LITTLE, SOME = 0.5, 0.02, 0.05  # of the dense top-1 that is left; points of top-1 that are lost


@dataclass(frozen=True)
class Reading:
    """The figures of one case and seed that the proof is judged by.

    Attributes:
        dense: Top-1 of the dense network.
        strongest: The baseline with the same compensation that loses half of it last.
        half_macs: MACs that are left where it has.
        at_half: Method -> top-1 there.
        saved: Method -> MACs that are gone where it has lost two points.
        strongest_saved: The baseline of which these are most.
        auto_behind: Points that ``auto`` is behind the searched recipe where that has lost five.
    """

    dense: float
    strongest: str
    half_macs: float
    at_half: dict[str, float]
    saved: dict[str, float]
    strongest_saved: str
    auto_behind: float


def read_curves(rows: pd.DataFrame) -> Reading:
    """Read the curves of one case and seed.

    Args:
        rows: Of `benchmarks.wide.curves`; a method's points in any order.
    """
    dense = float(rows[rows.method == "dense"].top1.iloc[0])
    curves = {
        str(method): _curve(own, dense) for method, own in rows[rows.method != "dense"].groupby("method")
    }
    baselines = [name for name in curves if name not in OURS]
    strongest = min(baselines, key=lambda name: macs_at(curves[name], HALF * dense))
    half_macs = macs_at(curves[strongest], HALF * dense)
    saved = {name: 1 - macs_at(curve, dense - LITTLE) for name, curve in curves.items()}
    behind = float("nan")
    if FOUND in curves and AUTO in curves:
        macs = macs_at(curves[FOUND], dense - SOME)
        behind = top1_at(curves[FOUND], macs) - top1_at(curves[AUTO], macs)
    return Reading(
        dense=dense,
        strongest=strongest,
        half_macs=half_macs,
        at_half={name: top1_at(curve, half_macs) for name, curve in curves.items()},
        saved=saved,
        strongest_saved=max(baselines, key=lambda name: saved[name]),
        auto_behind=behind,
    )


Curve = tuple[np.ndarray, np.ndarray]  # MACs that are left, falling from 1, and the top-1 there


def _curve(rows: pd.DataFrame, dense: float) -> Curve:
    own = rows.sort_values("macs", ascending=False)
    return np.array([1.0, *own.macs]), np.array([dense, *own.top1])


def top1_at(curve: Curve, macs: float) -> float:
    """Top-1 at some MACs; NaN beyond the last point."""
    left, top1 = curve
    return float(np.interp(macs, left[::-1], top1[::-1], left=np.nan))


def macs_at(curve: Curve, top1: float) -> float:
    """The MACs at which a curve first falls to a top-1; those of its last point if it does not."""
    left, values = curve
    for i in range(1, len(values)):
        if values[i] <= top1:
            part = (values[i - 1] - top1) / (values[i - 1] - values[i])
            return float(left[i - 1] + part * (left[i] - left[i - 1]))
    return float(left[-1])
