"""What a sampler sees of a long study."""

from __future__ import annotations

from itertools import pairwise

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState, create_trial

from xaiprune.study import history
from xaiprune.study.history import BoundedHistory, shown


def value(trial: Trial) -> float:
    x = trial.suggest_float("x", -1, 1)
    rule = trial.suggest_categorical("rule", ["epsilon", "gamma"])
    own = trial.suggest_float("gamma", 0, 1) if rule == "gamma" else trial.suggest_float("epsilon", 0, 1)
    return x**2 + own


def tpe(seed: int) -> TPESampler:
    return TPESampler(multivariate=True, group=True, constant_liar=True, n_startup_trials=10, seed=seed)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_short_study_is_searched_as_by_tpe_itself() -> None:
    found = []
    for sampler in (tpe(3), BoundedHistory(tpe(3))):
        study = optuna.create_study(sampler=sampler)
        for _ in range(10):  # in batches: the second of each must know what the first tries
            asked = [study.ask() for _ in range(4)]
            for trial, loss in [(trial, value(trial)) for trial in asked]:
                study.tell(trial, loss)
        found.append([trial.params for trial in study.trials])
    assert found[0] == found[1]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_of_a_long_study_the_best_and_a_spread_of_the_others(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST", 100)
    study = optuna.create_study(direction=direction)
    distributions = {"x": FloatDistribution(0, 1)}
    for number in range(300):
        study.add_trial(
            create_trial(value=float(number * 7919 % 300), params={"x": 0.5}, distributions=distributions)
        )
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.ask()
    trials = shown(study, study.trials)
    numbers = [trial.number for trial in trials]
    assert numbers == sorted(numbers)
    assert numbers[-2:] == [300, 301]  # of those that are not finished all
    assert len(numbers) == 102
    values = [float(trial.value) for trial in trials if trial.value is not None]
    wanted = range(275, 300) if direction == "maximize" else range(25)
    assert set(wanted) <= set(values)
    assert set(range(275, 300)) <= set(numbers)
    others = [number for number in numbers if number < 275]
    assert max(b - a for a, b in pairwise(others)) <= 6


def test_nothing_is_left_out_where_tpe_has_other_best_trials() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for _ in range(history.MOST + 1):
        study.add_trial(create_trial(values=[0.0, 0.0]))
    assert len(shown(study, study.trials)) == history.MOST + 1
    raced = optuna.create_study()
    for number in range(history.MOST + 1):
        state = TrialState.COMPLETE if number < 24 else TrialState.PRUNED
        raced.add_trial(create_trial(state=state, value=0.0))
    assert len(shown(raced, raced.trials)) == history.MOST + 1
