"""What the final comparison found: accuracy by method and rate on the test split, kept as CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd

from xaiprune.errors import XaipruneError
from xaiprune.files import replacing

SCHEMA = "xaiprune/comparison/1"
COLUMNS = ("method", "kind", "part", "rate", "top1", "low", "high", "correct", "total", "seed")


@dataclass(frozen=True)
class Comparison:
    """Every method's top-1 on the test split.

    Attributes:
        frame: One row a measurement. ``method``; ``kind``: ``dense``, ``best``, ``preset``, ``criterion`` or
            ``random``; ``part``: ``target`` (all test images at the target rate) or ``curve`` (all rates);
            ``rate``; ``top1`` with its 95 % interval ``low`` to ``high`` (fractions); ``correct``, ``total``:
            images; ``seed`` (random only).
        network: Name of the network.
        units: What was removed.
        unit_count: How many of them the network has.
        rate: The target rate.
        chance: 1 / number of classes.
        test_images: Images of the target rows.
        curve_images: Images of the curve rows.
        left_out: Method -> why it has no rows.
    """

    frame: pd.DataFrame
    network: str
    units: str
    unit_count: int
    rate: float
    chance: float
    test_images: int
    curve_images: int
    left_out: Mapping[str, str] = field(default_factory=dict)


def summary(comparison: Comparison) -> pd.DataFrame:
    """One row a method, in the order of comparison: the dense network, the best found, then the others.

    Returns:
        Columns ``method``, ``kind``, ``top1``, ``low``, ``high`` at the target rate on all test images, and
        ``curve_mean`` (mean over the rates) and ``trapezoid`` (area under the curve over the rates' range)
        on the curve images; fractions. Several seeds are averaged, with their intervals. The dense network
        has no curve.
    """
    frame = comparison.frame
    rows = []
    for (method, kind), part in frame.groupby(["method", "kind"], sort=False):
        target = part[part.part == "target"]
        curve = part[part.part == "curve"].groupby("rate").top1.mean().sort_index()
        rows.append(
            {
                "method": method,
                "kind": kind,
                "top1": target.top1.mean(),
                "low": target.low.mean(),
                "high": target.high.mean(),
                "curve_mean": curve.mean() if len(curve) else float("nan"),
                "trapezoid": trapezoid(curve),
            }
        )
    return pd.DataFrame(rows)


def trapezoid(curve: pd.Series) -> float:
    """Area under a curve (index: rates, rising) divided by the range of rates; NaN below two rates."""
    if len(curve) < 2:
        return float("nan")
    rates, values = curve.index.to_numpy(dtype=float), curve.to_numpy(dtype=float)
    area = ((values[1:] + values[:-1]) / 2 * (rates[1:] - rates[:-1])).sum()
    return float(area / (rates[-1] - rates[0]))


def save(comparison: Comparison, folder: Path, key: str) -> None:
    """Write ``comparison.csv`` and ``comparison.json`` (what it is of, and ``key``) into ``folder``."""
    about: dict[str, Any] = {
        f.name: getattr(comparison, f.name) for f in fields(comparison) if f.name != "frame"
    }
    about["left_out"] = dict(comparison.left_out)
    with replacing(folder / "comparison.csv") as path:
        comparison.frame.to_csv(path, index=False)
    # Last: a comparison is there only once its key is.
    with replacing(folder / "comparison.json") as path:
        path.write_text(
            json.dumps({"schema": SCHEMA, "key": key, **about}, indent=2) + "\n", encoding="utf-8"
        )


def load(folder: Path, key: str | None = None) -> Comparison | None:
    """The comparison kept in ``folder``, or None where there is none (with this key).

    Args:
        folder: As given to `save`.
        key: Only a comparison made for the same key counts; None takes any.

    Raises:
        XaipruneError: The files are there but cannot be read.
    """
    described, measured = folder / "comparison.json", folder / "comparison.csv"
    if not (described.is_file() and measured.is_file()):
        return None
    try:
        about = json.loads(described.read_text(encoding="utf-8"))
        if about.pop("schema") != SCHEMA:
            return None  # made by another version: measured again
        if about.pop("key") != key and key is not None:
            return None
        frame = pd.read_csv(measured, dtype={"seed": "Int64"})
        if list(frame.columns) != list(COLUMNS):
            raise ValueError(f"columns {', '.join(map(str, frame.columns))}")
        return Comparison(frame=frame, **about)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise XaipruneError(
            f"{described} or {measured.name} is damaged ({error}); remove both to measure again"
        ) from error
