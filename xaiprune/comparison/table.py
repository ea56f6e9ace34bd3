"""The final comparison: accuracy by method and rate on the test split, stored as CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd

from xaiprune.errors import XaipruneError
from xaiprune.evaluation import Paired
from xaiprune.evaluation.curve import trapezoid
from xaiprune.files import replacing

SCHEMA = "xaiprune/comparison/1"
KEEP = 0.95
_NAN = float("nan")
COSTS = ("macs", "params")
COLUMNS = ("method", "kind", "part", "rate", "top1", "low", "high", "correct", "total", "seed", *COSTS)
PERPLEXITY = ("perplexity", "perplexity_low", "perplexity_high")
"""Further columns where text was compared."""


@dataclass(frozen=True)
class Comparison:
    """Every method's top-1 on the test split.

    Attributes:
        frame: One row a measurement. ``method``; ``kind``: ``dense``, ``best``, ``preset``, ``criterion``,
            ``peer`` or ``random``; ``part``: ``target`` (the target rate on all test images) or ``curve``
            (every rate on the curve images); ``rate``; ``top1`` with its 95 % interval ``low`` to ``high``
            (fractions); ``correct`` of ``total`` images; ``seed`` (random only); ``macs`` and ``params``, the
            parts of the dense network's MACs and parameters that are left (NaN where the smaller network
            cannot be made, and where an earlier version did not count). Of text: ``correct`` and ``total``
            are tokens, and there are the columns `PERPLEXITY`, with the 95 % interval over windows.
        network: Name of the network.
        units: Unit kind.
        unit_count: Units of the dense network.
        rate: The target rate.
        chance: 1 / number of classes.
        test_images: Images of the target rows.
        curve_images: Images of the curve rows.
        left_out: Method -> why it has no rows.
        against: Method -> how many test images ``only_first`` (the best found) and ``only_second`` (the
            method) classify correctly at the target rate; random rankings have no entry. Of text: windows in
            which either gets more tokens right.
        measure: What ``top1`` is: ``top-1``, or of test images without labels ``agreement with the dense
            network``, or of text ``next-token top-1``.
        noun: What is counted by ``test_images`` and ``curve_images``: ``image`` or ``window``.
        window: Tokens of a window; None: it is no text.
        against_perplexity: As ``against``, of text: windows in which either has the lower perplexity.
        trial: Number of the best found in its study; None: it is of a file, or an earlier version did not
            note it.
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
    against: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    measure: str = "top-1"
    noun: str = "image"
    window: int | None = None
    against_perplexity: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    trial: int | None = None

    @property
    def examples(self) -> str:
        """``images``, ``windows``."""
        return f"{self.noun}s"

    def paired(self, method: str) -> Paired | None:
        """The best found against a method on the same test images at the target rate; None if unknown."""
        found = self.against.get(method)
        return None if found is None else Paired(**found)

    def paired_perplexity(self, method: str) -> Paired | None:
        """As `paired`, by the perplexity of each window; None if unknown, or no text."""
        found = self.against_perplexity.get(method)
        return None if found is None else Paired(**found)

    @property
    def best(self) -> str:
        """Name of the method that is the best found."""
        return str(self.frame[self.frame.kind == "best"].method.iloc[0])


def summary(comparison: Comparison, keep: float = KEEP) -> pd.DataFrame:
    """One row a method in the order of the comparison: the dense network, the best found, then the others.

    Args:
        comparison: What was measured.
        keep: Fraction of the dense top-1 that ``rate_kept`` asks for.

    Returns:
        Columns ``method``, ``kind``; ``top1``, ``low``, ``high`` at the target rate on all test images;
        ``curve_mean`` (mean over the rates) and ``trapezoid`` (area under the curve, divided by the range of
        the rates) on the curve images; ``rate_kept`` (the highest measured rate up to which top-1 is at least
        ``keep`` of the dense network's, on the curve images). All are fractions, NaN where there is none.
        ``only_best``, ``only_other`` and ``p``: how many test images only the best found, and only this
        method, classifies correctly at the target rate, and p of McNemar's exact test. Several seeds are
        averaged, intervals included, and have no paired test. The dense network has no curve. `COSTS`: the
        parts of the dense network's that are left at the target rate. Of text also the columns
        `PERPLEXITY` at the target rate, and ``p_perplexity`` of the test by the windows' perplexities.
    """
    frame = comparison.frame
    dense = frame[frame.kind == "dense"]
    dense_top1 = float(dense.sort_values("part").top1.iloc[0])  # on the curve images, where it was measured
    rows = []
    for (method, kind), part in frame.groupby(["method", "kind"], sort=False):
        target = part[part.part == "target"]
        curve = part[part.part == "curve"].groupby("rate").top1.mean().sort_index()
        has_curve = kind != "dense" and len(curve) > 0
        found = comparison.paired(str(method))
        rows.append(
            {
                "method": method,
                "kind": kind,
                "top1": target.top1.mean(),
                "low": target.low.mean(),
                "high": target.high.mean(),
                "curve_mean": curve.mean() if has_curve else _NAN,
                "trapezoid": trapezoid(curve.index, curve) if has_curve and len(curve) > 1 else _NAN,
                "rate_kept": highest_rate(curve, keep * dense_top1) if has_curve else _NAN,
                "only_best": _NAN if found is None else found.only_first,
                "only_other": _NAN if found is None else found.only_second,
                "p": _NAN if found is None else found.p,
                **{cost: target[cost].mean() for cost in COSTS},
            }
        )
        if comparison.window is not None:
            lower = comparison.paired_perplexity(str(method))
            rows[-1] |= {name: target[name].mean() for name in PERPLEXITY}
            rows[-1]["p_perplexity"] = _NAN if lower is None else lower.p
    return pd.DataFrame(rows).astype({"only_best": "Int64", "only_other": "Int64"})


def highest_rate(curve: pd.Series, least: float) -> float:
    """The last rate of a curve (index: rates, rising) before it first falls below ``least``; NaN if none.

    Only measured rates count, nothing is interpolated; a later rise of the curve is ignored.
    """
    below = (curve < least - 1e-12).to_numpy()
    kept = curve.index[: below.argmax() if below.any() else len(curve)]
    return float(kept[-1]) if len(kept) else _NAN


def rivals(comparison: Comparison) -> dict[str, str]:
    """The most accurate other methods at the target rate, of each kind: ``preset``, ``criterion``, ``peer``.

    They are chosen by top-1 on the test images, which favours them: the best of several is also the luckiest.
    Taylor is compared as a criterion but counts as a preset, since LRP with the plain gradient is the same.
    """
    frame = comparison.frame
    target = frame[(frame.part == "target") & frame.kind.isin(["preset", "criterion", "peer"])]
    taylor = target.method.str.partition(" (")[0] == "taylor"  # under any compensation
    group = target.kind.where(~taylor, "preset")
    best = target.sort_values("top1", ascending=False, kind="stable").groupby(group).method.first()
    return {str(kind): str(method) for kind, method in best.items()}


def save(comparison: Comparison, folder: Path, key: str, of: str = "") -> None:
    """Write ``comparison.csv``, ``summary.csv`` and ``comparison.json``.

    Args:
        comparison: What was measured.
        folder: Of its study.
        key: Of all that the figures depend on.
        of: Of what is compared and on what; other methods and rates have the same.
    """
    about: dict[str, Any] = {
        f.name: getattr(comparison, f.name) for f in fields(comparison) if f.name != "frame"
    }
    for name in ("measure", "noun", "window", "trial"):  # written only where they differ, for older readers
        if about[name] == getattr(Comparison, name):
            del about[name]
    del about["against_perplexity"]
    if comparison.against_perplexity:
        about["against_perplexity"] = {m: dict(found) for m, found in comparison.against_perplexity.items()}
    about["left_out"] = dict(comparison.left_out)
    about["against"] = {method: dict(found) for method, found in comparison.against.items()}
    with replacing(folder / "comparison.csv") as path:
        comparison.frame.to_csv(path, index=False)
    with replacing(folder / "summary.csv") as path:
        summary(comparison).to_csv(path, index=False)
    # Last: a comparison counts as finished once its key is there.
    with replacing(folder / "comparison.json") as path:
        path.write_text(
            json.dumps({"schema": SCHEMA, "key": key, "of": of, **about}, indent=2) + "\n", encoding="utf-8"
        )


def load(folder: Path, key: str | None = None, of: str | None = None) -> Comparison | None:
    """The comparison stored in ``folder``; None where there is none, or none with this key.

    Args:
        folder: As given to `save`.
        key: Only a comparison stored with the same key counts; None: any.
        of: Only one of the same best on the same images and settings counts; None: any.

    Raises:
        XaipruneError: The files exist but cannot be read.
    """
    described, measured = folder / "comparison.json", folder / "comparison.csv"
    if not (described.is_file() and measured.is_file()):
        return None
    try:
        about = json.loads(described.read_text(encoding="utf-8"))
        if about.pop("schema") != SCHEMA:
            return None  # of another version; it is measured again
        stored = about.pop("key"), about.pop("of", "")  # earlier versions stored the key alone
        if any(wanted not in (None, had) for wanted, had in zip((key, of), stored, strict=True)):
            return None
        frame = pd.read_csv(measured, dtype={"seed": "Int64"})
        for place, cost in enumerate(COSTS, start=len(COLUMNS) - len(COSTS)):
            if cost not in frame.columns:  # written before it was counted
                frame.insert(min(place, len(frame.columns)), cost, _NAN)
        if list(frame.columns) not in (list(COLUMNS), [*COLUMNS, *PERPLEXITY]):
            raise ValueError(f"columns {', '.join(map(str, frame.columns))}")
        return Comparison(frame=frame, **about)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise XaipruneError(
            f"{described} or {measured.name} is damaged ({error}); remove both to measure again"
        ) from error
