"""All that a report shows, read from a study and the files beside it, without its network and images."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import yaml
from optuna.distributions import BaseDistribution

from xaiprune.attribution.lrp import LayerInfo
from xaiprune.comparison.run import BEST
from xaiprune.comparison.table import Comparison
from xaiprune.comparison.table import load as load_comparison
from xaiprune.errors import XaipruneError
from xaiprune.recipe import AUTO, Recipe
from xaiprune.registry import OBJECTIVES
from xaiprune.report.frames import layers, methods, trials
from xaiprune.report.page.format import with_interval
from xaiprune.report.reading import read_trials
from xaiprune.report.stored_trials import StoredTrials
from xaiprune.study import BEST_FILE, RUNS, best_trial, minimises, network_of, stored_fingerprint

COST, HEATMAPS = "cost.json", "heatmaps.png"
COST_SCHEMA = "xaiprune/cost/1"
COMPARE = "compare"  # folder in which earlier versions' compare task wrote


@dataclass(frozen=True)
class Findings:
    """A study, ready to be shown.

    Attributes:
        name: Of the study.
        storage: Its URL, without a password.
        folder: Where the search wrote its files.
        fingerprint: Network, data, units, pruning, objective and space, as stored by the search,
            with today's names of settings.
        versions: Every combination of versions that the study was run with.
        runs: How it was run each time (`xaiprune.study.notes`); empty in older studies.
        dense: ``correct``, ``images``, ``top1`` of the dense network on the validation images.
        trials: `xaiprune.report.trials`.
        layers: `xaiprune.report.layers`.
        stored: The trials' parameters, recipes and scores.
        network: Layers that get a rule; empty in older studies.
        units: Unit layer -> its units; empty in older studies.
        best: Row of ``trials``.
        comparison: On the test split; None where the folder has none.
        methods: `xaiprune.report.methods` of it.
        compared: Number of the trial whose composite was compared; None if not known.
        stale: Whether the comparison is of an earlier best trial than ``best``.
        written: Number of the trial whose composite is in the folder; None where there is none.
        cost: Params, MACs and bytes of the dense network and the best trial's; None where the folder has
            none.
        heatmaps: The picture of test images as a data URI; None where the folder has none.
    """

    name: str
    storage: str
    folder: Path
    fingerprint: Mapping[str, Any]
    versions: Sequence[Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]]
    dense: Mapping[str, Any] | None
    trials: pd.DataFrame
    layers: pd.DataFrame
    stored: StoredTrials
    network: tuple[LayerInfo, ...]
    units: Mapping[str, int]
    best: pd.Series
    comparison: Comparison | None
    methods: pd.DataFrame | None
    compared: int | None
    stale: bool
    written: int | None
    cost: Mapping[str, Any] | None
    heatmaps: str | None

    @property
    def objective(self) -> Mapping[str, Any]:
        """Its name, rates, cost and constraints."""
        objective: Mapping[str, Any] = self.fingerprint["objective"]
        return objective

    @property
    def cost_name(self) -> str | None:
        """What the second objective minimises; None in a study of one."""
        return self.objective.get("cost")

    @property
    def finds_rate(self) -> bool:
        """Whether trials search the rate itself, so that a value is a rate."""
        return bool(OBJECTIVES.find(self.objective["name"]).finds_rate)

    @property
    def minimises(self) -> bool:
        """Whether a lower value is better."""
        return bool(OBJECTIVES.find(self.objective["name"]).minimises)

    @property
    def fraction(self) -> bool:
        """Whether values are fractions, which are shown in percent."""
        return bool(OBJECTIVES.find(self.objective["name"]).fraction)

    @property
    def measure(self) -> str:
        """Name of the score that values are made of: ``top1``, ``perplexity``."""
        return "top1" if self.fraction else str(OBJECTIVES.find(self.objective["name"]).measure)

    @property
    def dense_value(self) -> float | None:
        """The dense network's, of what is measured at each rate; None where it is not known."""
        return None if self.dense is None else self.dense.get(self.measure)

    def shown(self, value: float, low: float = math.nan, high: float = math.nan) -> str:
        """A value as text: ``46.4 % (41.3 to 51.6)``, ``8.10 (7.45 to 8.82)``."""
        if self.fraction:
            return with_interval(value, low, high)
        return f"{value:.2f}" + ("" if math.isnan(low) else f" ({low:.2f} to {high:.2f})")

    @property
    def value_name(self) -> str:
        """What a trial's value is: ``top-1 at 0.5 removed``."""
        searched = bool(self.fingerprint.get("space", {}).get("rate"))
        return str(
            OBJECTIVES.find(self.objective["name"]).value_name(self.objective, rate_is_searched=searched)
        )

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Parameter -> what it was drawn from."""
        return self.stored.distributions

    @property
    def complete(self) -> pd.DataFrame:
        """The finished trials."""
        return self.trials[self.trials.state == "complete"]

    @property
    def raced(self) -> pd.DataFrame:
        """The trials that were stopped in a race; their value is that on the images they have seen."""
        values = self.stored.stopped(self.measure)
        rows = self.trials.iloc[list(values)]
        return rows.assign(value=list(values.values()))

    @property
    def taylor(self) -> Any:
        """Row of the finished trial that tried the Taylor preset; None where there is none.

        That is the trial of ``auto`` where both are the same: then only that one is tried.
        """
        runs, name = self.complete, "taylor"
        if not (self.trials.preset == name).any():
            name = AUTO
        found = runs[(runs.preset == name).fillna(False).astype(bool)]
        return found.iloc[0] if len(found) else None

    def recipe(self, number: int) -> Recipe | None:
        """What a trial tried; None where it ended before that was stored."""
        place = int(self.stored.numbers.searchsorted(number))
        data = self.stored.attrs["proposal"].get(place)
        return None if data is None else Recipe.from_dict(data, f"trial {number}")

    @property
    def pictured(self) -> int | None:
        """Number of the trial whose cost and heatmaps are shown; None where there are none."""
        return None if self.cost is None else self.cost["trial"]


def read_findings(study: optuna.Study, storage: str, folder: Path) -> Findings:
    """Read a study and the files of its folder.

    Args:
        study: Made by a search.
        storage: Its URL, without a password.
        folder: Where the search wrote its files; it need not exist.

    Raises:
        XaipruneError: No trial has finished, none keeps the constraints, or a file is damaged.
    """
    frame = trials(study)
    candidates = frame[(frame.state == "complete") & frame.feasible.fillna(False).astype(bool)]
    if not len(candidates):
        best_trial(study)  # raises, and says which of the two it is
    attrs = study.user_attrs
    network = network_of(study)
    values = candidates.value
    best = candidates.iloc[int(values.argmin() if minimises(study) else values.argmax())]
    written = _trial_of(folder / BEST_FILE)
    comparison, own = _comparison(folder)
    # Earlier versions noted no trial: a search wrote best.yaml and its comparison together.
    noted = None if comparison is None else comparison.trial
    compared = noted if noted is not None else written if own else None
    stale = compared != int(best.number) if compared is not None else _older(folder / COMPARE, best)
    cost = _cost(folder / COST)
    return Findings(
        name=study.study_name,
        storage=storage,
        folder=folder,
        fingerprint=stored_fingerprint(study) or {},
        versions=attrs.get("versions", []),
        runs=attrs.get(RUNS, []),
        dense=attrs.get("dense"),
        trials=frame,
        layers=layers(study),
        stored=read_trials(study, ("proposal", "scores")),
        network=() if network is None else network.layers,
        units={} if network is None else network.units,
        best=best,
        comparison=comparison,
        methods=None if comparison is None else methods(comparison),
        compared=compared,
        stale=comparison is not None and stale,
        written=written,
        cost=cost,
        heatmaps=_picture(folder / HEATMAPS) if cost is not None else None,
    )


def _comparison(folder: Path) -> tuple[Comparison | None, bool]:
    """The newer of the study's comparison and an earlier compare task's, and whether it is the first."""
    search, task = load_comparison(folder), load_comparison(folder / COMPARE)
    if task is None or task.best != BEST:  # the compare task takes any composite
        return search, True
    newer = search is None or _written(folder / COMPARE) >= _written(folder)
    return (task, False) if newer else (search, True)


def _written(folder: Path) -> float:
    """When a comparison was finished; seconds since 1970."""
    return (folder / "comparison.json").stat().st_mtime


def _older(folder: Path, best: pd.Series) -> bool:
    """Whether a comparison was finished before the best trial was."""
    path = folder / "comparison.json"
    if not path.is_file() or pd.isna(best.started) or pd.isna(best.seconds):
        return False
    return bool(path.stat().st_mtime < best.started.timestamp() + best.seconds)


def _trial_of(path: Path) -> int | None:
    """The trial that a composite file comes from, as it says itself."""
    if not path.is_file():
        return None
    try:
        number = yaml.safe_load(path.read_text(encoding="utf-8"))["provenance"]["trial"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        return None
    return number if isinstance(number, int) else None


def _cost(path: Path) -> Mapping[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] != COST_SCHEMA:
            return None  # of another version; the search writes it again
        for side in ("dense", "pruned"):
            for key in ("params", "macs", "bytes"):
                int(found[side][key])
        int(found["trial"])
    except (ValueError, KeyError, TypeError) as error:
        raise XaipruneError(
            f"{path} is damaged ({error}); remove it, and the search command writes it again"
        ) from error
    return dict(found)


def _picture(path: Path) -> str | None:
    if not path.is_file():
        return None
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
