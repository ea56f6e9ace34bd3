"""A study of given trials, without a storage to write them to.

A private part of Optuna, used in this file only: the constructor of `optuna.Study`, and the attribute by
which evaluators tell trials apart. `Study.add_trial` would do, but it checks and copies every trial: 500
trials, resampled 20 times, take half a minute. pyproject.toml bounds the version of Optuna from above.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from xaiprune.storage import storage_of


class SampledStudy(optuna.Study):
    """A study that maximises, of finished trials that may occur more than once.

    Args:
        trials: Finished; they are copied.
    """

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        empty = optuna.create_study(direction="maximize")
        super().__init__(empty.study_name, storage_of(empty))
        self._sample = [copy.copy(trial) for trial in trials]
        for number, trial in enumerate(self._sample):
            trial.number = trial._trial_id = number  # importance evaluators tell trials apart by it

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """All of them; they are finished."""
        return list(self._sample)
