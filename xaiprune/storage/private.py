"""Optuna's private attributes that nothing public replaces, in one place (pyproject bounds its version).

Optuna has no public way from a study to its storage, which copying a study and serving a dashboard need, nor
to the numbers by which a storage knows studies and trials, which heartbeats and the dashboard's notes need.
"""

from __future__ import annotations

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage that a study lies in."""
    return study._storage


def study_id(study: optuna.Study) -> int:
    """The number of a study in its storage."""
    return study._study_id


def trial_id(trial: Trial | FrozenTrial) -> int:
    """The number of a trial in its storage, unique over all studies in it."""
    return trial._trial_id
