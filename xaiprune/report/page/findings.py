"""Everything that a report shows, gathered from a study and the files beside it; no network, no images."""

from __future__ import annotations

import base64
import json
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
from xaiprune.recipe.recipe import Recipe
from xaiprune.report.frames import layers, methods, trials
from xaiprune.report.reading import StoredTrials, read_trials
from xaiprune.study import BEST_FILE, best_trial
from xaiprune.study.notes import RUNS, network_of

COST, HEATMAPS = "cost.json", "heatmaps.png"
COST_SCHEMA = "xaiprune/cost/1"
COMPARE = "compare"  # folder of the compare task's files


@dataclass(frozen=True)
class Findings:
    """A study, ready to be shown.

    Attributes:
        name: Of the study.
        storage: Its URL, without a password.
        folder: Where the search's files lie.
        fingerprint: Network, data, units, pruning, objective and space, as the search stored them.
        versions: Every combination of versions that the study was run with.
        runs: Every way it was run (`xaiprune.study.notes`); empty in older studies.
        dense: ``correct``, ``images``, ``top1`` of the dense network on the validation images.
        trials: `xaiprune.report.trials`.
        layers: `xaiprune.report.layers`.
        stored: The trials' parameters, and of attributes the recipes and scores.
        network: Layers that rules are given to; empty where the study did not note them.
        units: Unit layer -> its units; likewise.
        best: Row of ``trials``.
        comparison: On the test split, where one lies in the folder.
        methods: `xaiprune.report.methods` of it.
        compared: Number of the trial whose composite was compared; None: not known.
        stale: Whether the comparison is of an earlier best than ``best``.
        written: Number of the trial whose composite lies in the folder; None: none does.
        cost: Params, MACs and bytes of the dense network and the best trial's, where the folder has them.
        heatmaps: The picture of test images as a data URI, where the folder has it.
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
    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Parameter -> what it was drawn from."""
        return self.stored.distributions

    @property
    def complete(self) -> pd.DataFrame:
        """The finished trials."""
        return self.trials[self.trials.state == "complete"]

    def recipe(self, number: int) -> Recipe | None:
        """What a trial tried; None where it did not get so far."""
        place = int(self.stored.numbers.searchsorted(number))
        data = self.stored.attrs["proposal"].get(place)
        return None if data is None else Recipe.from_dict(data, f"trial {number}")

    @property
    def pictured(self) -> int | None:
        """Number of the trial that cost and heatmaps are of; None where there are none."""
        return None if self.cost is None else self.cost["trial"]


def gather(study: optuna.Study, storage: str, folder: Path) -> Findings:
    """Read a study and the files of its folder.

    Args:
        study: Made by a search.
        storage: Its URL, as it may be shown.
        folder: Where the search put its files; it may be missing.

    Raises:
        XaipruneError: No trial has finished, none keeps the constraints, or a file is damaged.
    """
    frame = trials(study)
    candidates = frame[(frame.state == "complete") & frame.feasible.fillna(False).astype(bool)]
    if not len(candidates):
        best_trial(study)  # says which of the two it is
    attrs = study.user_attrs
    network = network_of(study)
    best = candidates.iloc[int(candidates.value.argmax())]
    written = _trial_of(folder / BEST_FILE)
    comparison, own = _comparison(folder)
    # A search writes both at its end; the compare task does not say which trial was the best when it ran.
    compared = written if own else None
    stale = compared != int(best.number) if compared is not None else _older(folder / COMPARE, best)
    cost = _cost(folder / COST)
    return Findings(
        name=study.study_name,
        storage=storage,
        folder=folder,
        fingerprint=attrs["fingerprint"],
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
    """The newer of the search's comparison and the compare task's, and whether it is the search's."""
    search, task = load_comparison(folder), load_comparison(folder / COMPARE)
    if task is None or task.best != BEST:  # the compare task can be about any composite
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
    """The trial that a composite file says it comes from."""
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
            return None  # another version's: the search writes it anew
        for side in ("dense", "pruned"):
            for key in ("params", "macs", "bytes"):
                int(found[side][key])
        int(found["trial"])
    except (ValueError, KeyError, TypeError) as error:
        raise XaipruneError(
            f"{path} is damaged ({error}); remove it, and the search command writes it anew"
        ) from error
    return dict(found)


def _picture(path: Path) -> str | None:
    if not path.is_file():
        return None
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
