"""Top-1 of rankings on the test split, each plan measured once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from xaiprune.comparison.cache import ResultCache
from xaiprune.comparison.methods import Method, NetworkMethod
from xaiprune.comparison.table import COSTS, PERPLEXITY
from xaiprune.config import former_names
from xaiprune.data import LabelledImages
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import Accuracy, Precision, TokenAccuracy
from xaiprune.pruning import Plan
from xaiprune.session import Pruned, PruningSession

# Curves cost ten times the table, so they are measured on fewer images: as many input pixels a point as 100
# images of 224 x 224 have, and at most 400 images.
CURVE_PIXELS = 100 * 224 * 224
CURVE_IMAGES = 400
CURVE_TOKENS = 8192  # of text, whose windows cost by token


class TestEvaluator:
    """Measures rankings of one network on its test images.

    Args:
        session: Network, images, units and pruning settings.
        folder: Keeps every figure (``measured.jsonl``); those of another session are dropped.
        precision: Of the forward of the test images.

    Attributes:
        session: As given.
        depends_on: What figures depend on beside the plan (and the reference images, in compensation).
    """

    __test__ = False  # not a pytest class

    def __init__(self, session: PruningSession, folder: Path, precision: Precision = "float32") -> None:
        self.session, self._precision = session, precision
        # Only where it differs: figures from before there was a choice stay valid.
        self.depends_on = _depends_on(session) | ({} if precision == "float32" else {"precision": precision})
        self._cache = ResultCache(folder, short_hash(self.depends_on))
        self._reference = session.dataset.reference.fingerprint()

    @property
    def test(self) -> LabelledImages:
        """All test images."""
        return self.session.dataset.test

    def figures(self, method: Method, rate: float, images: LabelledImages | None = None) -> dict[str, Any]:
        """Top-1 of the network that a method prunes to a rate.

        Args:
            method: Scores, and how they are used.
            rate: Fraction removed.
            images: Some of the test images, the same ones whenever there are as many; None: all.

        Returns:
            ``top1`` with its 95 % interval ``low`` to ``high``, ``correct`` and ``total`` images; of all test
            images also ``right`` (read by `right_images`). Of text they count tokens, and there is
            ``perplexity`` with ``perplexity_low`` and ``perplexity_high``, of all windows also ``loss``.
        """
        return self.figures_of(method.plan(self.session, rate), images, method.under(self.session))

    def figures_of(
        self, plan: Plan, images: LabelledImages | None = None, session: PruningSession | None = None
    ) -> dict[str, Any]:
        """As `figures`, of a plan.

        Args:
            plan: What is removed.
            images: As above.
            session: With other ``prune`` settings than the evaluator's.
        """
        session, images = session or self.session, self.test if images is None else images
        # By plan: methods often agree, and all do at rate 0.
        key = session.plan_key(plan)
        # Reference images have no effect on a plan whose units are merely removed.
        if key != plan.hash:
            key = f"{key} {self._reference}"
        if (cached := self._cache.get(key, len(images))) is not None:
            return cached
        pruned = session.pruned(plan, images=len(images))
        found = self._measured(pruned, images)
        if pruned.mask is None and plan.n_removed and self._cache.get(_cost_key(plan), 0) is None:
            self._count(plan, pruned.model)  # it is there, and counting it takes no time
        self._cache.add(key, len(images), found)
        return found

    def figures_at_macs(
        self, method: NetworkMethod, fraction: float, images: LabelledImages | None = None
    ) -> dict[str, Any]:
        """As `figures`, of the network that a method makes, with its ``macs`` and ``params`` (as of `costs`).

        Args:
            method: Makes networks.
            fraction: Part of the dense network's MACs that it is asked to leave.
            images: As of `figures`.

        Raises:
            XaipruneError: It cannot make that network.
        """
        if math.isnan(fraction):
            raise XaipruneError("it is measured at the MACs that the best leaves, and these are not known")
        images = self.test if images is None else images
        key = f"{method.name} ({method.version}) {fraction:.6f} {self._reference}"
        cached = self._cache.get(key, len(images))
        if cached is not None and "params" in cached:
            return cached
        network = method.network(fraction)
        found = cached or self._measured(network, images)
        found |= self._parts(network)
        self._cache.add(key, len(images), found)
        return found

    def _measured(self, pruned: Pruned | nn.Module, images: LabelledImages) -> dict[str, Any]:
        accuracy = self.session.accuracy(pruned, images, precision=self._precision)
        return _figures(accuracy, with_images=len(images) == len(self.test))

    def costs(self, plan: Plan) -> dict[str, float]:
        """Parts of the dense network's `COSTS` that are left when a plan's units are removed.

        NaN where the smaller network cannot be made, for example because a layer would be empty.
        """
        if not plan.n_removed:
            return dict.fromkeys(COSTS, 1.0)
        cached = self._cache.get(_cost_key(plan), 0)
        if cached is not None and "params" in cached:  # earlier versions kept MACs alone
            return cached
        session = self.session.with_prune(compensate="none", bn="keep")  # they change no shape
        try:
            return self._count(plan, session.remove(plan, check=False).model)
        except XaipruneError:
            return dict.fromkeys(COSTS, float("nan"))

    def _count(self, plan: Plan, smaller: nn.Module) -> dict[str, float]:
        parts = self._parts(smaller)
        self._cache.add(_cost_key(plan), 0, parts)
        return parts

    def _parts(self, smaller: nn.Module) -> dict[str, float]:
        now, dense = self.session.cost(smaller), self.session.dense.cost()
        return {name: getattr(now, name) / getattr(dense, name) for name in COSTS}


def _cost_key(plan: Plan) -> str:
    return f"{plan.hash} macs"


def curve_part(images: LabelledImages, pixels: int = CURVE_PIXELS) -> list[int]:
    """Positions of the images that curves are measured on: evenly spaced within each class, or in a text.

    Args:
        images: The test split.
        pixels: Input pixels in all, at most (but at least one image a class); ``CURVE_IMAGES`` bounds it too.
    """
    if not images.by_class:
        return images.evenly(min(CURVE_IMAGES, max(1, CURVE_TOKENS // images.answers))).tolist()
    height, width = images.size
    classes = images.labels.unique()
    wanted = max(1, min(CURVE_IMAGES, pixels // (height * width)) // len(classes))
    chosen: list[int] = []
    for label in classes:
        own = (images.labels == label).nonzero()[:, 0].tolist()
        count = min(wanted, len(own))
        chosen += [own[i * len(own) // count] for i in range(count)]
    return sorted(chosen)


def right_images(figures: Mapping[str, Any]) -> np.ndarray:
    """Which images are right, (N,) bool, or how many tokens of each window, (N,) int64.

    Args:
        figures: From `TestEvaluator.figures`, of all test images.
    """
    if "loss" in figures:
        return np.array(figures["right"])
    bits = np.frombuffer(bytes.fromhex(figures["right"]), np.uint8)
    return np.unpackbits(bits, count=figures["total"]).astype(bool)


def plain_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What tables show of `TestEvaluator.figures`: ``top1``, ``low``, ``high``, ``correct``, ``total``.

    Of text also the `PERPLEXITY`.
    """
    shown = ("top1", "low", "high", "correct", "total", *PERPLEXITY)
    return {name: figures[name] for name in shown if name in figures}


def short_hash(data: Mapping[str, Any]) -> str:
    """Plain data as 16 characters."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _figures(found: Accuracy, *, with_images: bool) -> dict[str, Any]:
    low, high = found.interval()
    figures: dict[str, Any] = {
        "top1": found.top1,
        "low": low,
        "high": high,
        "correct": found.correct,
        "total": found.total,
    }
    if isinstance(found, TokenAccuracy):
        figures |= dict(zip(PERPLEXITY, (found.perplexity, *found.perplexity_interval()), strict=True))
    if not with_images:
        return figures
    assert found.per_image is not None  # kept, so that a continued comparison can still be paired
    if isinstance(found, TokenAccuracy):
        figures |= {"right": found.per_image.tolist(), "loss": found.loss.tolist()}
    else:  # a bit an image
        figures["right"] = np.packbits(found.per_image).tobytes().hex()
    return figures


def _depends_on(session: PruningSession) -> dict[str, Any]:
    dataset = session.dataset
    # The names of settings that caches were first made with: their hash must not change with a name.
    prune = {**former_names("prune", asdict(session.prune)), "rate": None}
    for key in ("order", "relevance_per", "multiple"):  # decide on the plan, by which figures are kept
        del prune[key]
    for key in ("calibration_root", "calibration_images"):  # which images they are counts
        del prune[key]
    calibration = session.dense.calibration
    return {
        **({} if calibration is None else {"calibration": calibration.fingerprint()}),
        "network": session.network,
        "test": dataset.test.fingerprint(),
        "curve": [CURVE_PIXELS, CURVE_IMAGES],
        "logits": dataset.task.logits,
        "units": [(unit.name, unit.units) for unit in session.units],
        "prune": prune,
    }
