"""The final comparison: the study's best against presets, baselines and peers, on the test split.

The test split is touched here (through `TestEvaluator`) and nowhere else. Every method ranks the same units
with the same reference images, prunes with the same settings (peers with their own) and is measured on the
same test images.
`xaiprune.report.show_comparison` shows the result.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from xaiprune.attribution import Scores
from xaiprune.comparison.cache import cache_folder
from xaiprune.comparison.evaluator import (
    TestEvaluator,
    curve_part,
    plain_figures,
    right_images,
    short_hash,
)
from xaiprune.comparison.methods import (
    Method,
    NetworkMethod,
    known_criteria,
    known_presets,
    rank,
    under_each,
)
from xaiprune.comparison.peers import known_peers, peer_methods
from xaiprune.comparison.table import COLUMNS, COSTS, PERPLEXITY, Comparison, load, save
from xaiprune.config import Config
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import paired
from xaiprune.progress import progress
from xaiprune.recipe import PRESETS, Recipe
from xaiprune.session import PruningSession
from xaiprune.storage import storage_file
from xaiprune.study import (
    best_trial,
    fitting_threads,
    named_after,
    open_search,
    open_study,
    recipe_of,
    storage_url,
)

log = logging.getLogger(__name__)

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CRITERIA = ("taylor", "integrated_gradients", "activation", "magnitude_l1")
SEEDS = 3
BEST = "best found"


def compare(
    config: Config,
    *,
    network: nn.Module | None = None,
    criteria: Sequence[str] | None = None,
    peers: Sequence[str] | str | None = None,
    compensate: Sequence[str] | None = None,
) -> Comparison:
    """Measure the best of a configuration's study beside presets, baselines and chance on the test split.

    What was measured before is read back from ``output_dir``, where the figures are kept as CSV and JSON.

    Args:
        config: Of the search.
        network: As given to `xaiprune.study.search`.
        criteria: Names of baseline criteria, also registered ones (`xaiprune.register_criterion`); None:
            Taylor, integrated gradients, activation and weight magnitude.
        peers: As of `compare_on_test`.
        compensate: As of `compare_on_test`.

    Returns:
        The figures; ``.frame`` has one row a measurement, `xaiprune.report.draw_curves` draws them.

    Raises:
        XaipruneError: There is no such study, none of its trials has finished, or it is of another set-up.
    """
    config = named_after(config, network)
    path = storage_file(storage_url(config))
    if path is not None and not path.is_file():  # opening it would make one of it
        raise XaipruneError(f"no study there: {path} does not exist; search first")
    config.study.load_only = True
    setup = open_search(config, network)
    best = best_trial(open_study(setup))
    with fitting_threads(setup.session, config.threads):
        folder = Path(str(config.output_dir))
        criteria = CRITERIA if criteria is None else criteria
        return compare_on_test(
            setup.session,
            recipe_of(best),
            folder,
            criteria=criteria,
            peers=peers,
            compensate=compensate,
            trial=best.number,
        )


def compare_on_test(
    session: PruningSession,
    best: Recipe,
    out_dir: Path,
    *,
    name: str = BEST,
    rates: Sequence[float] = RATES,
    presets: Sequence[str] | None = None,
    criteria: Sequence[str] | None = CRITERIA,
    seeds: int = SEEDS,
    peers: Sequence[str] | str | None = None,
    compensate: Sequence[str] | None = None,
    cache_dir: Path | None = None,
    trial: int | None = None,
    again: bool = True,
) -> Comparison:
    """Measure the best found, the presets, the criteria and chance on the test split.

    What was compared for the same best, network, images and settings is read back from ``out_dir``, and no
    plan is ever measured twice: ``.cache`` in it keeps the figures.

    Args:
        session: Network, images, units and pruning settings.
        best: Composite, start and aggregation of the study's best trial.
        out_dir: Where ``comparison.csv``, ``comparison.json`` and ``summary.csv`` go.
        name: Of the best recipe's row.
        rates: Of the curves, in [0, 1), rising.
        presets: Names of presets; None: all.
        criteria: Names of baseline criteria; None: all.
        seeds: How many random rankings.
        peers: Published methods by name (`xaiprune.comparison.peers`), or ``all``; None: none. One that makes
            networks of its own is measured at the MACs that the best recipe leaves at each rate.
        compensate: Every method that sets no compensation itself, but the best, is measured under each of
            these; None: under the configured one.
        cache_dir: Folder whose ``.cache`` keeps what was measured; None: ``out_dir``.
        trial: Number of the best in its study.
        again: If other methods or rates were compared with the same best, compare again; else that is
            returned.

    Returns:
        The figures. A method that this network cannot have is in ``left_out`` with its reason.

    Raises:
        XaipruneError: Unknown preset, criterion or peer, or the best composite does not fit the network.
    """
    if any(later <= earlier for earlier, later in pairwise(rates)):
        raise XaipruneError(f"the rates of a comparison must rise, got {list(rates)}")
    names, others, published = known_presets(presets), known_criteria(criteria), known_peers(peers)
    _ = session.dataset.test.size  # where the split is missing, its error says what to set
    evaluator = TestEvaluator(session, cache_folder(cache_dir or out_dir))
    of = _about_best(session, evaluator.depends_on, name, best)
    key = short_hash(of | _asked(rates, names, others, seeds, published, compensate))
    if (found := load(out_dir, key if again else None, None if again else short_hash(of))) is not None:
        return found
    ranked, left_out = rank(session, name, best, names, others, seeds)
    further, without = peer_methods(session, published, compensate)
    left_out |= without
    chance = [method for method in ranked if method.kind == "random"]
    methods: list[Method | NetworkMethod] = [
        *under_each(ranked[: len(ranked) - len(chance)], compensate),
        *further,
        *under_each(chance, compensate),
    ]
    test = session.dataset.test
    part = curve_part(test)
    within = [rate for rate in rates if _reachable(session, ranked[0].scores, rate)]
    if len(within) < len(rates):
        out = ", ".join(f"{rate:g}" for rate in rates if rate not in within)
        key = "min_units" if session.prune.multiple == 1 else "multiple"
        bound = f"prune.{key}={getattr(session.prune, key)}"
        left_out["rates " + out] = f"with {bound} too few units can be removed"
    # Often longer than the search itself, and a bar shows on terminals only.
    log.info(
        "comparing %d methods%s: all %d test %ss at rate %g, %d of them at %d rates",
        len(methods),
        f" of {session.prune.rounds} rounds each" if session.prune.rounds > 1 else "",
        *(len(test), test.noun, session.prune.rate, len(part), len(within)),
    )
    frame, paired_with, failed = _measure(evaluator, ranked[0], methods, within, part)
    comparison = Comparison(
        frame=frame,
        network=session.name,
        units=session.unit_kind,
        unit_count=session.unit_count,
        rate=session.prune.rate,
        chance=1 / len(session.dataset.task.classes),
        test_images=len(test),
        curve_images=len(part),
        left_out=left_out | failed,
        against=paired_with["right"],
        measure=test.measure,
        noun=test.noun,
        window=test.window,
        against_perplexity=paired_with["loss"],
        trial=trial,
    )
    save(comparison, out_dir, key, short_hash(of))
    return comparison


def _measure(
    evaluator: TestEvaluator,
    best: Method,
    methods: Sequence[Method | NetworkMethod],
    rates: Sequence[float],
    part: list[int],
) -> tuple[pd.DataFrame, dict[str, dict[str, dict[str, int]]], dict[str, str]]:
    """All rows: each method at the target rate on every test image, and along the rates on ``part``.

    Also how the best and each other (but chance) disagree at the target rate, image by image (``right``) and
    by the ``loss`` of each window of text, and the reason for each method that turned out not to work.
    """
    test, target = evaluator.test, evaluator.session.prune.rate
    curve_images = test if len(part) == len(test) else test.subset(part)
    whole = dict.fromkeys(COSTS, 1.0)
    rows = [
        _row("dense", "dense", place, 0.0, evaluator.figures(best, 0.0, images) | whole)
        for place, images in (("target", test), ("curve", curve_images))
    ]
    each: dict[str, dict[str, np.ndarray]] = {"right": {}, "loss": {}}
    failed: dict[str, str] = {}
    left_by_best = cache(lambda rate: evaluator.costs(best.plan(evaluator.session, rate))["macs"])
    for method, rate, is_target in progress(
        list(_steps(methods, rates, target)), f"comparing on the test {test.noun}s"
    ):
        if method.name in failed:
            continue
        images = test if is_target else curve_images
        if isinstance(method, Method):
            plan = method.plan(evaluator.session, rate)
            found = evaluator.figures_of(plan, images, method.under(evaluator.session))
            found = found | evaluator.costs(plan)
        else:
            try:
                found = evaluator.figures_at_macs(method, left_by_best(rate), images)
            except XaipruneError as error:  # works at some sizes only
                failed[method.name] = str(error)
                continue
        place = "target" if is_target else "curve"
        rows.append(_row(method.name, method.kind, place, rate, found, method.seed))
        if is_target and method.kind != "random":
            each["right"][method.name] = right_images(found)
            if "loss" in found:
                each["loss"][method.name] = -np.array(found["loss"])
    columns = [*COLUMNS, *(name for name in PERPLEXITY if name in rows[0])]
    frame = pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"})
    frame = frame[~frame.method.isin(list(failed))].reset_index(drop=True)
    against: dict[str, dict[str, dict[str, int]]] = {}
    for what, of in each.items():
        mine = of.pop(best.name, None)
        others = {name: own for name, own in of.items() if name not in failed}
        against[what] = {name: asdict(paired(mine, own)) for name, own in others.items() if mine is not None}
    return frame, against, failed


def _steps(
    methods: Sequence[Method | NetworkMethod], rates: Sequence[float], target: float
) -> Iterator[tuple[Method | NetworkMethod, float, bool]]:
    for method in methods:
        yield method, target, True
        for rate in rates:
            yield method, rate, False


def _reachable(session: PruningSession, scores: Scores, rate: float) -> bool:
    """Whether `prune.min_units` lets the rate be reached, whatever the ranking."""
    try:
        session.plan(scores, rate)
    except XaipruneError:
        return False
    return True


def _row(
    method: str,
    kind: str,
    part: str,
    rate: float,
    figures: dict[str, Any],
    seed: int | None = None,
) -> dict[str, Any]:
    return {
        "method": method,
        "kind": kind,
        "part": part,
        "rate": rate,
        **plain_figures(figures),
        "seed": seed,
        **{cost: figures[cost] for cost in COSTS},
    }


def _about_best(
    session: PruningSession, depends_on: Mapping[str, Any], name: str, best: Recipe
) -> dict[str, Any]:
    """What is compared with all others, and on what."""
    return {
        **depends_on,
        "reference": session.dataset.reference.fingerprint(),
        "rate": session.prune.rate,
        "best": {name: best.renamed("").to_dict()},
        "costs": list(COSTS),  # counted at every rate
        # Only where it differs from the default: comparisons from before there was an order stay valid.
        **({} if session.prune.order == "score" else {"order": session.prune.order}),
        **({} if session.prune.multiple == 1 else {"multiple": session.prune.multiple}),
    }


def _asked(
    rates: Sequence[float],
    presets: Sequence[str],
    criteria: Sequence[str],
    seeds: int,
    peers: Sequence[str],
    compensate: Sequence[str] | None,
) -> dict[str, Any]:
    """What it is compared with."""
    return {
        "presets": {preset: PRESETS[preset].renamed("").to_dict() for preset in presets},
        "criteria": list(criteria),
        "rates": list(rates),
        "seeds": seeds,
        **({"peers": list(peers)} if peers else {}),
        **({} if compensate is None else {"compensate": list(compensate)}),
    }
