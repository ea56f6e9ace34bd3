"""Chosen trials of a stored study: one by its number, the best few, the Pareto front."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

from xaiprune.errors import XaipruneError
from xaiprune.storage import REASON
from xaiprune.study.trials import best_trial, is_feasible, merit


def finished_trial(study: optuna.Study, number: int) -> FrozenTrial:
    """A trial by its number.

    Raises:
        XaipruneError: There is none, or it has no value.
    """
    trials = study.get_trials(deepcopy=False)
    if number >= len(trials):
        raise XaipruneError(
            f"export.trial={number}: study '{study.study_name}' has {len(trials)} trials, counted from 0"
        )
    trial = trials[number]
    if trial.state is not TrialState.COMPLETE:
        reason = trial.user_attrs.get(REASON, "it has no value")
        raise XaipruneError(
            f"export.trial={number}: the trial is not finished but {trial.state.name.lower()} ({reason}); "
            "choose another"
        )
    return trial


def distinct_trials(study: optuna.Study, count: int) -> list[FrozenTrial]:
    """The best trials that keep the constraints; of those that remove the same units, the earliest.

    Raises:
        XaipruneError: No trial has finished.
    """
    best_trial(study)  # refuses a study without any
    finished = filter(is_feasible, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    found: dict[tuple[str, ...], FrozenTrial] = {}
    for trial in sorted(finished, key=lambda t: (-merit(study, t), t.number)):
        plans = tuple(score["plan"] for score in trial.user_attrs["scores"])
        found.setdefault(plans or (trial.user_attrs["key"],), trial)
    return list(found.values())[:count]


def front(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that no other beats in both values, the cheapest first; those that keep the constraints.

    Raises:
        XaipruneError: The study has one value only, or no trial has finished.
    """
    if len(study.directions) < 2:
        raise XaipruneError(
            f"export.front: study '{study.study_name}' has one value a trial and so no Pareto front, which "
            "objective.cost=macs (or params, latency) gives a search; export.top=N writes the best few"
        )
    best_trial(study)  # refuses a study without any
    return sorted(filter(is_feasible, study.best_trials), key=lambda trial: (trial.values[1], trial.number))
