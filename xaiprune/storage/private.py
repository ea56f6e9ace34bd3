"""Optuna's private attributes that nothing public replaces, in one place (pyproject bounds its version).

Optuna has no public way from a study to its storage, which copying a study and serving a dashboard need, nor
to the numbers by which a storage knows studies and trials, which heartbeats and the dashboard's notes need.
Nor can a sampler be given only some of a study's trials.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage that a study lies in."""
    return study._storage


def study_id(study: optuna.Study) -> int:
    """The number of a study in its storage."""
    return study._study_id


def trial_id(trial: Trial | FrozenTrial) -> int:
    """The number of a trial in its storage, unique over all studies in it."""
    return trial._trial_id


class StudyView:
    """A study as a sampler sees it that is shown only some of its trials.

    Args:
        study: The whole one, or what a pruner hands a sampler in its place; all else is asked of it.
        trials: What is shown, by number.
    """

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        self._whole, self._shown = study, trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        return [trial for trial in self._shown if states is None or trial.state in states]
