"""A study of given trials, without a storage to write them to.

A private part of Optuna: a `Study` is made with the private storage of another, and its trials get their
private numbers. `Study.add_trial` would do, but it checks and copies every trial: 500 trials, resampled 20
times, take half a minute. Optuna has to be bounded from above in pyproject.toml.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState


class SampledStudy(optuna.Study):
    """A study that maximises, of finished trials that may occur more than once.

    Args:
        trials: Finished; they are copied.
    """

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        empty = optuna.create_study(direction="maximize")
        super().__init__(empty.study_name, empty._storage)
        self._sample = [copy.copy(trial) for trial in trials]
        for number, trial in enumerate(self._sample):
            trial.number = trial._trial_id = number  # importance evaluators tell trials apart by it

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """All of them; they are finished."""
        return list(self._sample)
