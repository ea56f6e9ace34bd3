"""The final comparison: the study's best against presets and baselines, on the test split.

The test split is touched here and nowhere else. Every method ranks the same units with the same reference
images, prunes with the same settings and is measured on the same test images. Showing the result (table,
curves) is the report room's: ``xaiprune.report.show_comparison(comparison, out_dir)``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xaiprune import models
from xaiprune.attribute import Scores
from xaiprune.attribute.lrp.composite_io import to_dict
from xaiprune.data import LabelledImages, progress
from xaiprune.errors import XaipruneError
from xaiprune.evaluate import Accuracy, paired
from xaiprune.search import comparison as kept
from xaiprune.search.comparison import COLUMNS, Comparison
from xaiprune.search.context import Context
from xaiprune.search.measured import Measured
from xaiprune.search.methods import Method, known_criteria, known_presets, proposal_of_preset, rank
from xaiprune.search.proposal import Proposal

log = logging.getLogger(__name__)

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CRITERIA = ("taylor", "activation", "magnitude_l1")
SEEDS = 3
BEST = "best found"
# Curves cost ten times the table, so they are measured on fewer images: as many input pixels a point as 100
# images of 224 x 224 have, and at most 400 images.
CURVE_PIXELS = 100 * 224 * 224
CURVE_IMAGES = 400


def compare_on_test(
    bench: Context,
    best: Proposal,
    out_dir: Path,
    *,
    name: str = BEST,
    rates: Sequence[float] = RATES,
    presets: Sequence[str] | None = None,
    criteria: Sequence[str] | None = CRITERIA,
    seeds: int = SEEDS,
    measured_in: Path | None = None,
) -> Comparison:
    """Measure the best found, the presets, the criteria and chance on the test split.

    What was compared for the same best, network, images and settings is read back from ``out_dir``, and no
    plan is ever measured twice.

    Args:
        bench: Network, images, units and pruning settings.
        best: Composite, start and aggregation of the study's best trial.
        out_dir: Where ``comparison.csv``, ``comparison.json`` and ``summary.csv`` go.
        name: What the best goes by.
        rates: Of the curves, in [0, 1), rising.
        presets: Names of presets; None: all.
        criteria: Names of baseline criteria; None: all.
        seeds: How many random rankings.
        measured_in: Folder that remembers what was measured; comparisons of one study share it. None:
            ``out_dir``.

    Returns:
        The figures. A method that this network cannot have is in ``left_out`` with its reason.

    Raises:
        XaipruneError: Unknown preset or criterion, or the best composite does not fit the network.
    """
    if any(later <= earlier for earlier, later in pairwise(rates)):
        raise XaipruneError(f"the rates of a comparison must rise, got {list(rates)}")
    names, others = known_presets(presets), known_criteria(criteria)
    same_bench = _bench(bench)
    key = _key(same_bench, name, best, rates, names, others, seeds, bench.config.prune.rate)
    if (found := kept.load(out_dir, key)) is not None:
        return found
    ranked, left_out = rank(bench, name, best, names, others, seeds)
    test = bench.dataset.test
    part = curve_part(test)
    within = [rate for rate in rates if _reachable(bench, ranked[0].scores, rate)]
    if len(within) < len(rates):
        out = ", ".join(f"{rate:g}" for rate in rates if rate not in within)
        left_out["rates " + out] = f"with prune.floor={bench.config.prune.floor} too few units may go"
    # Often longer than the search itself, and a bar shows on terminals only.
    log.info(
        "comparing %d rankings: all %d test images at rate %g, %d of them at %d rates",
        *(len(ranked), len(test), bench.config.prune.rate, len(part), len(within)),
    )
    measured = Measured(measured_in or out_dir, _hash(same_bench))
    frame, against = _measure(bench, ranked, within, part, measured)
    config = bench.config
    comparison = Comparison(
        frame=frame,
        network=config.model.name,
        units=config.units.kind,
        unit_count=sum(unit.units for unit in bench.units),
        rate=config.prune.rate,
        chance=1 / len(bench.dataset.task.classes),
        test_images=len(test),
        curve_images=len(part),
        left_out=left_out,
        against=against,
    )
    kept.save(comparison, out_dir, key)
    return comparison


def curve_part(images: LabelledImages, pixels: int = CURVE_PIXELS) -> list[int]:
    """Positions of the images that curves are measured on: evenly spaced within each class.

    Args:
        images: The test split.
        pixels: Input pixels in all, at most (but at least one image a class); ``CURVE_IMAGES`` bounds it too.
    """
    height, width = images.pixels.shape[1:3]
    classes = images.labels.unique()
    wanted = max(1, min(CURVE_IMAGES, pixels // (height * width)) // len(classes))
    chosen: list[int] = []
    for label in classes:
        own = (images.labels == label).nonzero()[:, 0].tolist()
        count = min(wanted, len(own))
        chosen += [own[i * len(own) // count] for i in range(count)]
    return sorted(chosen)


def _measure(
    bench: Context, ranked: Sequence[Method], rates: Sequence[float], part: list[int], measured: Measured
) -> tuple[pd.DataFrame, dict[str, dict[str, int]]]:
    """All rows: each method at the target rate on every test image, and along the rates on ``part``.

    Also how the first method and each other (but chance) disagree at the target rate, image by image.
    """
    test, target = bench.dataset.test, bench.config.prune.rate
    curve_images = test if len(part) == len(test) else test.subset(part)

    def figures(method: Method, rate: float, images: LabelledImages) -> dict[str, Any]:
        plan = bench.plan(method.scores, rate, method.scope)
        # By plan: methods often agree, and all do at rate 0.
        key = bench.plan_key(plan, method.compensate)
        if (known := measured.get(key, len(images))) is not None:
            return known
        pruned = bench.pruned(plan, method.compensate, images=len(images))
        found = _figures(bench.accuracy(pruned, images), with_images=len(images) == len(test))
        measured.add(key, len(images), found)
        return found

    best = ranked[0]
    rows = [_row("dense", "dense", "target", 0.0, figures(best, 0.0, test))]
    rows.append(_row("dense", "dense", "curve", 0.0, figures(best, 0.0, curve_images)))
    right: dict[str, np.ndarray] = {}
    for method, rate, is_target in progress(
        list(_steps(ranked, rates, target)), "comparing on the test images"
    ):
        found = figures(method, rate, test if is_target else curve_images)
        place = "target" if is_target else "curve"
        rows.append(_row(method.name, method.kind, place, rate, found, method.seed))
        if is_target and method.kind != "random":
            right[method.name] = _images_of(found)
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"seed": "Int64"})
    mine = right.pop(best.name)
    return frame, {name: asdict(paired(mine, theirs)) for name, theirs in right.items()}


def _steps(
    ranked: Sequence[Method], rates: Sequence[float], target: float
) -> Iterator[tuple[Method, float, bool]]:
    for method in ranked:
        yield method, target, True
        for rate in rates:
            yield method, rate, False


def _reachable(bench: Context, scores: Scores, rate: float) -> bool:
    """Whether the floor of units that each layer keeps lets the rate be reached, whatever the ranking."""
    try:
        bench.plan(scores, rate)
    except XaipruneError:
        return False
    return True


def _figures(found: Accuracy, *, with_images: bool) -> dict[str, Any]:
    low, high = found.interval()
    figures = {
        "top1": found.top1,
        "low": low,
        "high": high,
        "correct": int(found.correct.sum()),
        "total": found.total,
    }
    # A bit an image, so that a comparison that goes on can still be paired.
    return figures | ({"right": np.packbits(found.correct).tobytes().hex()} if with_images else {})


def _images_of(figures: Mapping[str, Any]) -> np.ndarray:
    """(images,) bool, which are right."""
    bits = np.frombuffer(bytes.fromhex(figures["right"]), np.uint8)
    return np.unpackbits(bits, count=figures["total"]).astype(bool)


def _row(
    method: str, kind: str, part: str, rate: float, figures: dict[str, Any], seed: int | None = None
) -> dict[str, Any]:
    measured = {name: figures[name] for name in ("top1", "low", "high", "correct", "total")}
    return {"method": method, "kind": kind, "part": part, "rate": rate, **measured, "seed": seed}


def _bench(bench: Context) -> dict[str, Any]:
    """What the figures of a plan depend on, whoever made it."""
    dataset = bench.dataset
    return {
        "network": models.fingerprint(bench.model),
        "reference": dataset.reference.fingerprint(),
        "test": dataset.test.fingerprint(),
        "curve": [CURVE_PIXELS, CURVE_IMAGES],
        "logits": dataset.task.logits,
        "units": [(unit.name, unit.units) for unit in bench.units],
        "prune": {**asdict(bench.config.prune), "rate": None},
    }


def _key(
    bench: Mapping[str, Any],
    name: str,
    best: Proposal,
    rates: Sequence[float],
    presets: Sequence[str],
    criteria: Sequence[str],
    seeds: int,
    rate: float,
) -> str:
    """Everything that a comparison depends on, as one short text."""

    def recipe(of: Proposal) -> dict[str, Any]:
        return {**of.to_dict(), "composite": to_dict(of.composite.renamed(""))}

    return _hash(
        {
            **bench,
            "rate": rate,
            "best": {name: recipe(best)},
            "presets": {preset: recipe(proposal_of_preset(preset)) for preset in presets},
            "criteria": list(criteria),
            "rates": list(rates),
            "seeds": seeds,
        }
    )


def _hash(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
