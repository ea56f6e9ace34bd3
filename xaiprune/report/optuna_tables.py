"""Trials straight from the tables of Optuna's `RDBStorage`.

A private part of Optuna, used in this file only: its tables (`optuna.storages._rdb.models`). The public
`Study.get_trials` builds an object a trial, with a distribution for each of its parameters, and takes 6 s for
10,000 trials where these queries take 0.5 s (``python -m benchmarks.frames``). Optuna has changed no table
since 3.2, but it may, so pyproject.toml bounds its version from above.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.distributions import json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import Connection, func, select

from xaiprune.report.stored_trials import StoredTrials
from xaiprune.storage import storage_of, study_id

_CONSTRAINT = "constraints:"  # prefix of the system attributes that hold a trial's constraints


def from_tables(study: optuna.Study, attrs: Sequence[str]) -> StoredTrials | None:
    """Read a study's trials.

    Args:
        study: In any storage.
        attrs: User attributes to read.

    Returns:
        The trials; None where the storage is no database.
    """
    storage: Any = storage_of(study)
    storage = getattr(storage, "_backend", storage)  # below its cache
    if not isinstance(storage, RDBStorage):
        return None
    with storage.engine.connect() as connection:
        return _read(connection, study_id(study), len(study.directions), attrs)


def _read(connection: Connection, study: int, objectives: int, attrs: Sequence[str]) -> StoredTrials:
    trial = models.TrialModel
    times = (trial._datetime_start_utc, trial._datetime_complete_utc)
    query: Any = select(trial.trial_id, trial.number, trial.state, *times)
    heads = connection.execute(query.where(trial.study_id == study).order_by(trial.number)).all()
    stored = StoredTrials.without_results(
        [row.number for row in heads],
        [row.state for row in heads],
        [_utc(row[3]) for row in heads],
        [_utc(row[4]) for row in heads],
        objectives,
        attrs,
    )
    # A running search may have added trials since: those without a place are skipped.
    places = {row.trial_id: place for place, row in enumerate(heads)}
    _read_values(connection, study, stored, places)
    _read_params(connection, study, stored, places)
    _read_attrs(connection, study, stored, places)
    return stored


def _read_values(connection: Connection, study: int, stored: StoredTrials, places: dict[int, int]) -> None:
    value = models.TrialValueModel
    query = select(value.trial_id, value.objective, value.value, value.value_type)
    for trial_id, objective, number, kind in connection.execute(_of(query, value, study)):
        if trial_id in places:
            decoded = value.stored_repr_to_value(number, kind)  # infinities are stored by name
            stored.values[places[trial_id], objective] = decoded


def _read_params(connection: Connection, study: int, stored: StoredTrials, places: dict[int, int]) -> None:
    param, trial = models.TrialParamModel, models.TrialModel
    wanted = _of(select(param.trial_id, param.param_name, param.param_value), param, study)
    for trial_id, name, value in connection.execute(wanted.order_by(trial.number, param.param_id)):
        if trial_id in places:
            stored.set_param(places[trial_id], name, value)
    # One distribution a name: Optuna keeps the choices of a parameter the same over a study.
    first = _of(select(func.min(param.param_id)), param, study).group_by(param.param_name)
    query: Any = select(param.param_name, param.distribution_json).where(param.param_id.in_(first))
    found = {name: json_to_distribution(text) for name, text in connection.execute(query)}
    stored.distributions.update({name: found[name] for name in stored.params})


def _read_attrs(connection: Connection, study: int, stored: StoredTrials, places: dict[int, int]) -> None:
    user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
    query: Any = select(user.trial_id, user.key, user.value_json).where(user.key.in_(list(stored.attrs)))
    for trial_id, key, text in connection.execute(_of(query, user, study)):
        if trial_id in places:
            stored.attrs[key][places[trial_id]] = json.loads(text)
    query = select(system.trial_id, system.value_json).where(system.key.startswith(_CONSTRAINT))
    for trial_id, text in connection.execute(_of(query, system, study)):
        if trial_id in places:
            stored.add_constraint(places[trial_id], json.loads(text))


def _of(query: Any, table: Any, study: int) -> Any:
    """Only the rows that belong to trials of the study."""
    trial = models.TrialModel
    return query.join(trial, trial.trial_id == table.trial_id).where(trial.study_id == study)


def _utc(stored: datetime | None) -> datetime | None:
    return None if stored is None else stored.replace(tzinfo=UTC)
