"""Top-1 of rankings on the test split, each plan measured once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from xaiprune import models
from xaiprune.comparison.cache import ResultCache
from xaiprune.comparison.methods import Method
from xaiprune.data import LabelledImages
from xaiprune.evaluation import Accuracy
from xaiprune.pruning import Plan
from xaiprune.session.session import Context

# Curves cost ten times the table, so they are measured on fewer images: as many input pixels a point as 100
# images of 224 x 224 have, and at most 400 images.
CURVE_PIXELS = 100 * 224 * 224
CURVE_IMAGES = 400


class TestEvaluator:
    """Measures rankings of one network on its test images.

    Args:
        bench: Network, images, units and pruning settings.
        folder: Remembers every figure (``measured.jsonl``); those of another bench in it are dropped.

    Attributes:
        bench: As given.
        depends_on: What figures depend on beside the plan (and the reference images, in compensation).
    """

    def __init__(self, bench: Context, folder: Path) -> None:
        self.bench = bench
        self.depends_on = _depends_on(bench)
        self._measured = ResultCache(folder, short_hash(self.depends_on))
        self._reference = bench.dataset.reference.fingerprint()

    @property
    def test(self) -> LabelledImages:
        """All test images."""
        return self.bench.dataset.test

    def figures(self, method: Method, rate: float, images: LabelledImages | None = None) -> dict[str, Any]:
        """Top-1 of what a ranking leaves at a rate.

        Args:
            method: Scores, and how they are carried out.
            rate: Fraction removed.
            images: Some of the test images, the same ones whenever there are as many; None: all.

        Returns:
            ``top1`` with its 95 % interval ``low`` to ``high``, ``correct`` and ``total`` images; of all test
            images also ``right`` (read by `right_images`).
        """
        plan = self.bench.plan(
            method.scores,
            rate,
            method.scope,
            rerank=method.rerank,
            compensate=method.compensate,
            order=method.order,
        )
        return self.figures_of(plan, method.compensate, images)

    def figures_of(
        self, plan: Plan, compensate: str | None = None, images: LabelledImages | None = None
    ) -> dict[str, Any]:
        """As `figures`, of a plan."""
        images = self.test if images is None else images
        # By plan: methods often agree, and all do at rate 0.
        key = self.bench.plan_key(plan, compensate)
        # Reference images say nothing to a plan whose units are merely gone.
        if key != plan.hash or self.bench.config.prune.bn != "keep":
            key = f"{key} {self._reference}"
        if (known := self._measured.get(key, len(images))) is not None:
            return known
        pruned = self.bench.pruned(plan, compensate, images=len(images))
        found = _figures(self.bench.accuracy(pruned, images), with_images=len(images) == len(self.test))
        self._measured.add(key, len(images), found)
        return found


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


def right_images(figures: Mapping[str, Any]) -> np.ndarray:
    """(images,) bool, which are right, from `TestEvaluator.figures` of all test images."""
    bits = np.frombuffer(bytes.fromhex(figures["right"]), np.uint8)
    return np.unpackbits(bits, count=figures["total"]).astype(bool)


def plain_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Of `TestEvaluator.figures` what a table shows: ``top1``, ``low``, ``high``, ``correct``, ``total``."""
    return {name: figures[name] for name in ("top1", "low", "high", "correct", "total")}


def short_hash(data: Mapping[str, Any]) -> str:
    """Plain data as 16 characters."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


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


def _depends_on(bench: Context) -> dict[str, Any]:
    dataset = bench.dataset
    prune = {**asdict(bench.config.prune), "rate": None}
    del prune["order"]  # decides which plan is measured, and figures go by plan
    return {
        "network": models.fingerprint(bench.model),
        "test": dataset.test.fingerprint(),
        "curve": [CURVE_PIXELS, CURVE_IMAGES],
        "logits": dataset.task.logits,
        "units": [(unit.name, unit.units) for unit in bench.units],
        "prune": prune,
    }
