"""A study's trials as columns: straight from the tables of a database, or through Optuna.

Optuna builds an object a trial, with a distribution for each of its parameters; that takes seconds for a
thousand trials. The tables hold the same in a form that is nearly a frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models  # the tables; Optuna has no public name for them
from optuna.trial import TrialState
from sqlalchemy import Connection, func, select

_CONSTRAINT = "constraints:"  # leads the system attributes that Optuna keeps constraints in


@dataclass(frozen=True)
class StoredTrials:
    """Every trial of a study, by column; all columns have one entry a trial, in order of their numbers.

    Attributes:
        numbers: Numbers of the trials, rising.
        states: Theirs.
        started: UTC; None before it has.
        ended: UTC; None before it has.
        values: (trials, objectives), NaN where there is none.
        params: Parameter -> what the sampler saw (of a categorical one the position of the choice), NaN where
            a trial did not have it. In the order in which they first appear.
        distributions: Parameter -> what it was drawn from, in the first trial that had it.
        attrs: User attribute -> {position of the trial: its value}, for the attributes that were asked for.
        excess: By how much the worst constraint is missed; NaN where there is none.
    """

    numbers: np.ndarray
    states: Sequence[TrialState]
    started: Sequence[datetime | None]
    ended: Sequence[datetime | None]
    values: np.ndarray
    params: dict[str, np.ndarray]
    distributions: dict[str, BaseDistribution]
    attrs: dict[str, dict[int, Any]]
    excess: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)


def read_trials(study: optuna.Study, attrs: Sequence[str]) -> StoredTrials:
    """Read a study's trials.

    Args:
        study: In any storage; one in a database is read by a handful of queries.
        attrs: User attributes to read (some are long).
    """
    storage = study._storage  # Optuna has no public way from a study to its storage
    storage = getattr(storage, "_backend", storage)  # below its cache
    if isinstance(storage, RDBStorage):
        with storage.engine.connect() as connection:
            return from_tables(connection, study._study_id, len(study.directions), attrs)
    return from_objects(study, attrs)


def from_objects(study: optuna.Study, attrs: Sequence[str]) -> StoredTrials:
    """Read by Optuna's own `get_trials`, which every storage knows."""
    trials = study.get_trials(deepcopy=False)
    columns = _Columns(len(trials), len(study.directions), attrs)
    for place, trial in enumerate(trials):
        if trial.values is not None:
            columns.values[place] = trial.values
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            columns.param(place, name, distribution.to_internal_repr(value))
            columns.distributions.setdefault(name, distribution)
        for key in attrs:
            if key in trial.user_attrs:
                columns.attrs[key][place] = trial.user_attrs[key]
        for excess in trial.constraints.values():
            columns.constraint(place, excess)
    return columns.stored(
        [trial.number for trial in trials],
        [trial.state for trial in trials],
        [_utc_of_local(trial.datetime_start) for trial in trials],
        [_utc_of_local(trial.datetime_complete) for trial in trials],
    )


def from_tables(connection: Connection, study_id: int, objectives: int, attrs: Sequence[str]) -> StoredTrials:
    """Read from the tables of an `RDBStorage`.

    Args:
        connection: To its database.
        study_id: Its number there.
        objectives: How many values a trial has.
        attrs: User attributes to read.
    """
    trial = models.TrialModel
    heads = connection.execute(
        select(
            trial.trial_id, trial.number, trial.state, trial._datetime_start_utc, trial._datetime_complete_utc
        )
        .where(trial.study_id == study_id)
        .order_by(trial.number)
    ).all()
    columns = _Columns(len(heads), objectives, attrs)
    places = {row.trial_id: place for place, row in enumerate(heads)}
    # A search that runs meanwhile may have added trials since: those without a place are not looked at.
    _read_values(connection, study_id, columns, places)
    _read_params(connection, study_id, columns, places)
    _read_attrs(connection, study_id, columns, places)
    return columns.stored(
        [row.number for row in heads],
        [row.state for row in heads],
        [_utc(row[3]) for row in heads],
        [_utc(row[4]) for row in heads],
    )


class _Columns:
    """Columns that fill up."""

    def __init__(self, count: int, objectives: int, attrs: Iterable[str]) -> None:
        self.count = count
        self.values = np.full((count, objectives), np.nan)
        self.params: dict[str, np.ndarray] = {}
        self.distributions: dict[str, BaseDistribution] = {}
        self.attrs: dict[str, dict[int, Any]] = {key: {} for key in attrs}
        self.excess = np.full(count, np.nan)

    def param(self, place: int, name: str, value: float) -> None:
        if name not in self.params:
            self.params[name] = np.full(self.count, np.nan)
        self.params[name][place] = value

    def constraint(self, place: int, excess: float) -> None:
        self.excess[place] = np.fmax(self.excess[place], excess)

    def stored(
        self,
        numbers: Sequence[int],
        states: Sequence[TrialState],
        started: Sequence[datetime | None],
        ended: Sequence[datetime | None],
    ) -> StoredTrials:
        return StoredTrials(
            np.array(numbers, dtype=np.int64),
            states,
            started,
            ended,
            self.values,
            self.params,
            self.distributions,
            self.attrs,
            self.excess,
        )


def _read_values(connection: Connection, study_id: int, columns: _Columns, places: dict[int, int]) -> None:
    value = models.TrialValueModel
    query = select(value.trial_id, value.objective, value.value, value.value_type)
    for trial_id, objective, number, kind in connection.execute(_of(query, value, study_id)):
        if trial_id in places:
            decoded = value.stored_repr_to_value(number, kind)  # infinities are stored by name
            columns.values[places[trial_id], objective] = decoded


def _read_params(connection: Connection, study_id: int, columns: _Columns, places: dict[int, int]) -> None:
    param, trial = models.TrialParamModel, models.TrialModel
    wanted = _of(select(param.trial_id, param.param_name, param.param_value), param, study_id)
    for trial_id, name, value in connection.execute(wanted.order_by(trial.number, param.param_id)):
        if trial_id in places:
            columns.param(places[trial_id], name, value)
    # One distribution a name: Optuna keeps the choices of a parameter the same over a study.
    first = _of(select(func.min(param.param_id)), param, study_id).group_by(param.param_name)
    query: Any = select(param.param_name, param.distribution_json).where(param.param_id.in_(first))
    found = {name: json_to_distribution(text) for name, text in connection.execute(query)}
    columns.distributions.update({name: found[name] for name in columns.params})


def _read_attrs(connection: Connection, study_id: int, columns: _Columns, places: dict[int, int]) -> None:
    user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
    query: Any = select(user.trial_id, user.key, user.value_json).where(user.key.in_(list(columns.attrs)))
    for trial_id, key, text in connection.execute(_of(query, user, study_id)):
        if trial_id in places:
            columns.attrs[key][places[trial_id]] = json.loads(text)
    query = select(system.trial_id, system.value_json).where(system.key.startswith(_CONSTRAINT))
    for trial_id, text in connection.execute(_of(query, system, study_id)):
        if trial_id in places:
            columns.constraint(places[trial_id], json.loads(text))


def _of(query: Any, table: Any, study_id: int) -> Any:
    """Only the rows that belong to trials of the study."""
    trial = models.TrialModel
    return query.join(trial, trial.trial_id == table.trial_id).where(trial.study_id == study_id)


def _utc(stored: datetime | None) -> datetime | None:
    return None if stored is None else stored.replace(tzinfo=UTC)


def _utc_of_local(local: datetime | None) -> datetime | None:
    return None if local is None else local.astimezone(UTC)
