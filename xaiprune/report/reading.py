"""Reads a study's trials as columns: from the tables of a database if possible, else through Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import optuna

from xaiprune.report.optuna_tables import from_tables
from xaiprune.report.stored_trials import StoredTrials


def read_trials(study: optuna.Study, attrs: Sequence[str]) -> StoredTrials:
    """Read a study's trials.

    Args:
        study: In any storage; one in a database is read by a handful of queries.
        attrs: User attributes to read (some are long).
    """
    found = from_tables(study, attrs)
    return from_objects(study, attrs) if found is None else found


def from_objects(study: optuna.Study, attrs: Sequence[str]) -> StoredTrials:
    """Read by Optuna's own `get_trials`, which every storage has."""
    trials = study.get_trials(deepcopy=False)
    stored = StoredTrials.without_results(
        [trial.number for trial in trials],
        [trial.state for trial in trials],
        [_utc(trial.datetime_start) for trial in trials],
        [_utc(trial.datetime_complete) for trial in trials],
        len(study.directions),
        attrs,
    )
    for place, trial in enumerate(trials):
        if trial.values is not None:
            stored.values[place] = trial.values
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            stored.set_param(place, name, distribution.to_internal_repr(value))
            stored.distributions.setdefault(name, distribution)
        for key in attrs:
            if key in trial.user_attrs:
                stored.attrs[key][place] = trial.user_attrs[key]
        for excess in trial.constraints.values():
            stored.add_constraint(place, excess)
    return stored


def _utc(local: datetime | None) -> datetime | None:
    return None if local is None else local.astimezone(UTC)
