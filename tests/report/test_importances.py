"""Importances of settings: found where there are any, and honest where there are too few trials."""

from __future__ import annotations

import optuna
import pytest

from xaiprune.report.page.importances import importances
from xaiprune.report.reading import read_trials
from xaiprune.storage import quiet

from .made_up_study import make


def test_the_setting_that_matters_comes_first() -> None:
    def objective(trial: optuna.Trial) -> float:
        rule = trial.suggest_categorical("mid.rule", ["gradient", "zplus"])
        trial.suggest_categorical("start", ["one", "logit"])
        if trial.number < 5:
            trial.suggest_float("mid.gamma", 0.1, 10, log=True)
        return (rule == "gradient") + 1e-6 * (7 * trial.number % 59)

    with quiet():
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(objective, n_trials=60)
    table = importances(read_trials(study, ()))
    assert not isinstance(table, str)
    assert table.parameter.tolist() == ["mid.rule", "start"]  # five trials are too few for gamma
    assert table.importance.sum() == pytest.approx(1)
    assert table.importance[0] > 2 * table.importance[1]
    assert (table.low <= table.high).all()
    assert table.trials.tolist() == [60, 60]


def test_trials_that_racing_ended_count_with_what_they_reached() -> None:
    def objective(trial: optuna.Trial) -> float:
        good = trial.suggest_categorical("mid.rule", ["gradient", "zplus"]) == "gradient"
        trial.suggest_categorical("start", ["one", "logit"])
        top1 = 0.9 * good + 1e-3 * (7 * trial.number % 59)
        trial.set_user_attr("scores", [{"top1": top1, "images": 200}])
        trial.report(0.5, step=3)  # its last chunk alone, which says little
        if trial.number > 5:
            raise optuna.TrialPruned
        return top1

    with quiet():
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(objective, n_trials=40)
    assert isinstance(importances(read_trials(study, ())), str)  # six are too few
    table = importances(read_trials(study, ("scores",)))
    assert not isinstance(table, str)
    assert table.parameter[0] == "mid.rule"
    assert table.trials.tolist() == [40, 40]


def test_the_same_every_time() -> None:
    stored = read_trials(make(), ())
    one, other = importances(stored), importances(stored)
    assert not isinstance(one, str)
    assert not isinstance(other, str)
    assert one.equals(other)


def test_why_there_are_none() -> None:
    assert importances(read_trials(make(5), ())) == (
        "they need at least 20 finished trials with parameters, and there are 5"
    )
    with quiet():
        study = optuna.create_study()
        study.optimize(lambda trial: 1.0 + 0 * trial.suggest_float("x", 0, 1), n_trials=20)
    assert importances(read_trials(study, ())) == "all finished trials have the same value"


def test_presets_outside_the_space_do_not_stand_in_the_way() -> None:
    with quiet():
        study = make()
        study.add_trial(optuna.trial.create_trial(value=0.99))
    assert not isinstance(importances(read_trials(study, ())), str)
