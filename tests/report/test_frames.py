"""A study as a frame."""

import math

import optuna

from xaiprune.report import trials


def objective(trial: optuna.Trial) -> float:
    rule = trial.suggest_categorical("low.rule", ["epsilon", "gamma"])
    if rule == "gamma":
        trial.suggest_float("low.gamma", 0.1, 1.0)
    trial.set_user_attr("seconds.attribute", 0.5)
    trial.set_user_attr("composite", {"default": "epsilon"})
    if trial.number == 2:
        raise ArithmeticError
    return [0.4, 0.3, 0.0, 0.6][trial.number]


def test_one_row_a_trial() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    for rule in ("gamma", "epsilon", "gamma", "epsilon"):
        study.enqueue_trial({"low.rule": rule, "low.gamma": 0.2} if rule == "gamma" else {"low.rule": rule})
    study.optimize(objective, n_trials=4, catch=(ArithmeticError,))
    frame = trials(study)
    assert list(frame.columns[:6]) == ["number", "state", "value", "best", "started", "seconds"]
    assert list(frame.state) == ["complete", "complete", "fail", "complete"]
    assert list(frame.best) == [0.4, 0.4, 0.4, 0.6]
    assert math.isnan(frame.value[2])
    assert frame["param.low.gamma"].notna().tolist() == [True, False, True, False]
    assert frame["attr.seconds.attribute"].tolist() == [0.5] * 4
    assert "attr.composite" not in frame


def test_an_empty_study_has_the_columns() -> None:
    frame = trials(optuna.create_study())
    assert list(frame.columns) == ["number", "state", "value", "best", "started", "seconds"]
    assert len(frame) == 0
