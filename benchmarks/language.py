"""Neurons of a trained language model: rankings, orders and compensations at several rates, on text.

    python -m benchmarks.language MODEL_FOLDER TEXT_FILE TABLE.csv --split validation

The text is cut into windows; the first 40 % serve for reference, the next 30 % for validation, the rest for
test (`xaiprune.data.text_dataset`). What is there already is not measured again; each seed has a
table of its own.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import xaiprune as xp
from xaiprune.attribution import Aggregation, Scores
from xaiprune.config import HUGGING_FACE, TEXT, DataConfig, ModelConfig
from xaiprune.evaluation import TokenAccuracy
from xaiprune.models import setup
from xaiprune.recipe import PRESETS
from xaiprune.session import BatchSizes, PruningSession

RATES = (0.1, 0.2, 0.3, 0.4, 0.5)
COMPENSATIONS = ("none", "mean", "linear")
FIELDS = ("ranking", "order", "scope", "compensate", "rate", "split", "top1", "low", "high")
PERPLEXITY = ("perplexity", "perplexity_low", "perplexity_high", "windows", "window")
BASELINES = ("taylor", "wanda", "fluctuation", "magnitude_l2", "activation", "random")


def opened(folder: str, data: DataConfig, seed: int | None = None) -> PruningSession:
    """The network's neurons, with windows of the text; a seed draws the windows of reference at random."""
    count = data.reference_windows
    if seed is not None:
        data = replace(data, reference_windows=None)
    found = setup(ModelConfig(name=HUGGING_FACE, path=folder), data, device="cpu")
    if seed is not None:
        reference = found.data.reference
        drawn = torch.randperm(len(reference), generator=torch.Generator().manual_seed(seed))[:count]
        parts = replace(found.data, reference=reference.subset(drawn.sort().values))
        found = replace(found, data=parts)
    units = xp.find_units(found.model, "neurons")
    return PruningSession.of(found.model, found.data, units, unit_kind="neurons", batch=BatchSizes(8, 16))


def rankings(session: PruningSession, wanted: Sequence[str] | None) -> Iterator[tuple[str, Scores]]:
    """What units are ranked by: relevance in several ways, and the criteria that others use; None: all."""
    taylor, lrp = PRESETS["taylor"], PRESETS["epsilon_logit"]
    recipes = {
        "relevance, taylor": taylor,
        "relevance, taylor, sum_of_abs": replace(taylor, aggregation=Aggregation("sum_of_abs")),
        "relevance, taylor, contrast": replace(taylor, start="contrast"),
        "relevance, epsilon": lrp,
        "relevance, epsilon, sum_of_abs": replace(lrp, aggregation=Aggregation("sum_of_abs")),
    }
    for name, recipe in recipes.items():
        if wanted is None or name in wanted:
            yield name, session.scores(recipe)
    reference = session.dataset.reference
    for name in BASELINES:
        if wanted is not None and name not in wanted:
            continue
        options: dict[str, Any] = {"seed": 0, "batch_size": 8}
        yield (
            name,
            xp.criterion(name)(session.model, reference.tensor(), reference.labels, session.units, **options),
        )


def measured(session: PruningSession, scores: Scores, rate: float, split: str, **prune: str) -> TokenAccuracy:
    """The smaller network on a split."""
    own = session.with_prune(sequential=False, **prune)
    smaller = own.remove(own.plan(scores, rate), check=False).model
    found = session.accuracy(smaller, getattr(session.dataset, split))
    assert isinstance(found, TokenAccuracy)
    return found


def line(found: TokenAccuracy, **keys: Any) -> dict[str, Any]:
    """A line of the table."""
    low, high = found.interval()
    least, most = found.perplexity_interval()
    values = {"top1": found.top1, "low": low, "high": high}
    values |= {"perplexity": found.perplexity, "perplexity_low": least, "perplexity_high": most}
    shown = {name: f"{value:.4f}" for name, value in values.items()}
    return {**keys, **shown, "windows": len(found.loss), "window": found.answers + 1}


def main() -> None:
    """Measure what the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("table", type=Path)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--reference", type=int, default=128)
    parser.add_argument("--measured", type=int, default=None, help="windows that are measured; all")
    parser.add_argument("--orders", nargs="+", default=["score"])
    parser.add_argument("--scopes", nargs="+", default=["global"])
    parser.add_argument("--compensations", nargs="+", default=list(COMPENSATIONS))
    parser.add_argument("--rankings", nargs="+", default=None)
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    parser.add_argument("--seed", type=int, default=None, help="draws the windows of reference")
    options = parser.parse_args()
    windows = {"reference_windows": options.reference, f"{options.split}_windows": options.measured}
    data = DataConfig(source=TEXT, path=options.text, window=options.window, **windows)
    session = opened(options.model, data, options.seed)
    there = set()
    if options.table.exists():
        with options.table.open(newline="") as file:
            there = {tuple(row[name] for name in FIELDS[:6]) for row in csv.DictReader(file)}
    with options.table.open("a", newline="") as file:
        table = csv.DictWriter(file, (*FIELDS, *PERPLEXITY))
        if not there:
            table.writeheader()

        def add(found: TokenAccuracy, **keys: Any) -> None:
            table.writerow(line(found, **keys))
            file.flush()

        nothing = {"ranking": "dense", "order": "", "scope": "", "compensate": "", "rate": "0"}
        if (*nothing.values(), options.split) not in there:
            dense = session.accuracy(session.model, getattr(session.dataset, options.split))
            assert isinstance(dense, TokenAccuracy)
            add(dense, **nothing, split=options.split)
        for ranking, scores in rankings(session, options.rankings):
            for order in options.orders:
                for scope in options.scopes:
                    for how in options.compensations:
                        prune = {"order": order, "scope": scope, "compensate": how}
                        for rate in options.rates:
                            keys = {"ranking": ranking, **prune, "rate": f"{rate:g}", "split": options.split}
                            if tuple(keys.values()) not in there:
                                add(measured(session, scores, rate, options.split, **prune), **keys)


if __name__ == "__main__":
    main()
