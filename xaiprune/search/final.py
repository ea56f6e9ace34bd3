"""The final comparison: the study's best against presets and baselines, on the test split.

The test split is touched here and nowhere else. Every method ranks the same units with the same reference
images, prunes with the same settings and is measured on the same test images. Showing the result (table,
curves) is the report room's: ``xaiprune.report.show_comparison(comparison, out_dir)``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from xaiprune import models
from xaiprune.attribute import PRESETS, Scores
from xaiprune.attribute.criteria import criterion
from xaiprune.attribute.lrp.composite_io import to_dict
from xaiprune.data import LabelledImages, progress
from xaiprune.errors import XaipruneError
from xaiprune.evaluate import Accuracy
from xaiprune.search import comparison as kept
from xaiprune.search.comparison import COLUMNS, Comparison
from xaiprune.search.context import Context
from xaiprune.search.measured import Measured
from xaiprune.search.proposal import Proposal
from xaiprune.search.ranking import scores_of

log = logging.getLogger(__name__)

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CRITERIA = ("taylor", "activation", "magnitude_l1")
SEEDS = 3
BEST = "best found"
# Curves cost ten times the table, so they are measured on fewer images: as many input pixels a point as 100
# images of 224 x 224 have, and at most 400 images.
CURVE_PIXELS = 100 * 224 * 224
CURVE_IMAGES = 400


@dataclass(frozen=True)
class _Method:
    """A ranking, and how it is carried out where that differs from the configuration."""

    name: str
    kind: str
    scores: Scores
    seed: int | None = None
    scope: str | None = None
    compensate: str | None = None


def compare_on_test(
    bench: Context,
    best: Proposal,
    out_dir: Path,
    *,
    rates: Sequence[float] = RATES,
    presets: Sequence[str] | None = None,
    criteria: Sequence[str] = CRITERIA,
    seeds: int = SEEDS,
) -> Comparison:
    """Measure the best found, the presets, the criteria and chance on the test split.

    What was measured for the same best, network, images and settings is read back from ``out_dir``.

    Args:
        bench: Network, images, units and pruning settings.
        best: Composite, start and aggregation of the study's best trial.
        out_dir: Where ``comparison.csv`` and ``comparison.json`` go.
        rates: Of the curves, in [0, 1).
        presets: Names of presets; None: all.
        criteria: Names of baseline criteria.
        seeds: How many random rankings.

    Returns:
        The figures. A method that this network cannot have is in ``left_out`` with its reason.

    Raises:
        XaipruneError: Unknown preset or criterion, or the best composite does not fit the network.
    """
    names = _known_presets(presets)
    key = _key(bench, best, rates, names, criteria, seeds)
    if (found := kept.load(out_dir, key)) is not None:
        return found
    ranked, left_out = _rank(bench, best, names, criteria, seeds)
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
    measured = Measured(out_dir, key)
    frame = _measure(bench, ranked, within, part, measured)
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
    )
    kept.save(comparison, out_dir, key)
    measured.remove()
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


def _known_presets(names: Sequence[str] | None) -> list[str]:
    # The taylor preset is LRP's way to the taylor criterion, which is compared anyway.
    chosen = [name for name in PRESETS if name != "taylor"] if names is None else list(names)
    for name in chosen:
        if name not in PRESETS:
            raise XaipruneError(f"preset '{name}' is unknown, choose from {', '.join(PRESETS)}")
    return chosen


def _rank(
    bench: Context, best: Proposal, presets: Sequence[str], criteria: Sequence[str], seeds: int
) -> tuple[list[_Method], dict[str, str]]:
    """Scores of every method; LRP's share one forward pass of the reference images."""
    reference, task = bench.dataset.reference, bench.dataset.task
    images, labels = bench.reference_images, reference.labels.to(bench.device)
    proposals = {BEST: best, **{f"LRP {name}": _proposal(name) for name in presets}}
    relevances = bench.relevances(list(proposals.values()))
    ranked: list[_Method] = []
    left_out: dict[str, str] = {}
    for (name, proposal), relevance in zip(proposals.items(), relevances, strict=True):
        try:
            scores = scores_of(relevance, proposal, bench.units, bench.layers)
        except XaipruneError as error:  # not finite: a preset that does not suit the network
            if name == BEST:
                raise
            left_out[name] = str(error)
            continue
        twin = next((m.name for m in ranked if m.kind == "preset" and _same(m.scores, scores)), None)
        if twin is not None:
            left_out[name] = f"on this network the same as {twin}"
            continue
        kind = "best" if name == BEST else "preset"
        ranked.append(_Method(name, kind, scores, None, proposal.scope, proposal.compensate))

    def baseline(name: str, seed: int = 0) -> Scores:
        size = bench.config.attribution.batch_size
        return criterion(name)(bench.model, images, labels, bench.units, task, seed=seed, batch_size=size)

    for name in criteria:
        try:
            ranked.append(_Method(name, "criterion", baseline(name)))
        except XaipruneError as error:  # for example: no weight belongs to the units of a layer
            left_out[name] = str(error)
    ranked += [_Method("random", "random", baseline("random", seed), seed) for seed in range(seeds)]
    return ranked, left_out


def _proposal(preset: str) -> Proposal:
    recipe = PRESETS[preset]
    return Proposal(recipe.composite, recipe.start, recipe.aggregation)


def _same(one: Scores, other: Scores) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def _measure(
    bench: Context, ranked: Sequence[_Method], rates: Sequence[float], part: list[int], measured: Measured
) -> pd.DataFrame:
    """All rows: each method at the target rate on every test image, and along the rates on ``part``."""
    test, target = bench.dataset.test, bench.config.prune.rate
    curve_images = test if len(part) == len(test) else test.subset(part)

    def figures(method: _Method, rate: float, images: LabelledImages) -> dict[str, Any]:
        plan = bench.plan(method.scores, rate, method.scope)
        # By plan: methods often agree, and all do at rate 0.
        key = bench.plan_key(plan, method.compensate)
        if (known := measured.get(key, len(images))) is not None:
            return known
        pruned = bench.pruned(plan, method.compensate, images=len(images))
        found = _figures(bench.accuracy(pruned, images))
        measured.add(key, len(images), found)
        return found

    rows = [_row("dense", "dense", "target", 0.0, figures(ranked[0], 0.0, test))]
    for method, rate, is_target in progress(
        list(_steps(ranked, rates, target)), "comparing on the test images"
    ):
        found = figures(method, rate, test if is_target else curve_images)
        place = "target" if is_target else "curve"
        rows.append(_row(method.name, method.kind, place, rate, found, method.seed))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"seed": "Int64"})


def _steps(
    ranked: Sequence[_Method], rates: Sequence[float], target: float
) -> Iterator[tuple[_Method, float, bool]]:
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


def _figures(found: Accuracy) -> dict[str, Any]:
    low, high = found.interval()
    return {
        "top1": found.top1,
        "low": low,
        "high": high,
        "correct": int(found.correct.sum()),
        "total": found.total,
    }


def _row(
    method: str, kind: str, part: str, rate: float, figures: dict[str, Any], seed: int | None = None
) -> dict[str, Any]:
    return {"method": method, "kind": kind, "part": part, "rate": rate, **figures, "seed": seed}


def _key(
    bench: Context,
    best: Proposal,
    rates: Sequence[float],
    presets: Sequence[str],
    criteria: Sequence[str],
    seeds: int,
) -> str:
    """Everything that the figures depend on, as one short text."""

    def recipe(of: Proposal) -> dict[str, Any]:
        return {**of.to_dict(), "composite": to_dict(of.composite.renamed(""))}

    dataset = bench.dataset
    text = json.dumps(
        {
            "network": models.fingerprint(bench.model),
            "reference": dataset.reference.fingerprint(),
            "test": dataset.test.fingerprint(),
            "logits": dataset.task.logits,
            "units": [(unit.name, unit.units) for unit in bench.units],
            "prune": asdict(bench.config.prune),
            "best": recipe(best),
            "presets": {name: recipe(_proposal(name)) for name in presets},
            "criteria": list(criteria),
            "rates": list(rates),
            "seeds": seeds,
        },
        sort_keys=True,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
