"""Studies and comparisons as frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import TrialState, create_trial
from sqlalchemy import Engine, event

from xaiprune.report import accuracy, layers, methods, trials
from xaiprune.report.frames import _ATTRS, by_part
from xaiprune.report.reading import StoredTrials, from_objects, read_trials
from xaiprune.storage import quiet

from .made_up import comparison

UNITS = {"conv1": 8, "block.conv": 16, "fc": 4}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


@pytest.fixture(params=["sqlite", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> optuna.storages.BaseStorage:
    return RDBStorage(f"sqlite:///{tmp_path}/s.db") if request.param == "sqlite" else InMemoryStorage()


def score(correct: int, **more: object) -> dict[str, object]:
    top1 = correct / 100
    found = {"rate": 0.7, "plan": f"p{correct}", "correct": correct, "images": 100, "chunks": [correct]}
    return found | {"top1": top1, "low": top1 - 0.1, "high": top1 + 0.1} | more


def fill(study: optuna.Study) -> optuna.Study:
    """Every kind of trial that a search leaves, and one that somebody else added."""
    study.set_user_attr("fingerprint", {"units": {"found": 28}, "objective": {"name": "top1_at_rate"}})
    study.set_user_attr("layers", [])
    study.set_user_attr("unit_layers", UNITS)
    rule = CategoricalDistribution(("gradient", "epsilon", "gamma"))
    alone = {"start": CategoricalDistribution(("one", "logit")), "references": IntDistribution(1, 9)}
    numbers = {
        "low.epsilon": FloatDistribution(1e-6, 1, log=True),
        "low.gamma": FloatDistribution(0, 10),
        "high.alpha": CategoricalDistribution((1, 2.5)),
    }

    def add(
        value: float | None = None, params: dict | None = None, attrs: dict | None = None, **more
    ) -> None:
        params = params or {}
        distributions = {"low.rule": rule, "high.rule": rule, **alone, **numbers}
        used = {name: distributions[name] for name in params}
        state = TrialState.COMPLETE if value is not None else TrialState.FAIL
        settings = {"state": state, "value": value, "params": params, "distributions": used} | more
        study.add_trial(create_trial(user_attrs=attrs or {}, **settings))

    seconds = {"suggest": 0.1, "attribute": 0.5, "plan": 0.01, "evaluate": 0.2}
    kept = {"conv1": 2, "block.conv": 16, "fc": 1}
    measured = {"seconds": seconds, "evaluated": 100, "images": 100, "kept": kept, "scores": [score(40)]}
    add(0.4, {"low.rule": "gradient", "start": "logit", "references": 3}, {**measured, "preset": "taylor"})
    add(
        0.5,
        {"low.rule": "epsilon", "start": "one", "low.epsilon": 1e-3, "high.rule": "gamma", "high.alpha": 2.5},
        {**measured, "kept": {**kept, "fc": 3}, "scores": [score(50, cost={"macs": 0.3})]},
        constraints={"macs <= 0.2": 0.1, "top1 >= 0.1": -0.4},
    )
    add(None, {"low.rule": "gamma", "start": "one", "low.gamma": 0.5}, {"reason": "conv1: NaN"})
    add(
        0.4,
        {"low.rule": "gamma", "start": "one", "low.gamma": 2.0},
        {"scores": [score(40, cost={"macs": 0.1})], "evaluated": 0, "images": 100, "reused_from": 0},
        constraints={"macs <= 0.2": -0.1},
    )
    add(None, attrs={"scores": [score(1, images=50)], "kept": kept}, state=TrialState.PRUNED)
    add(0.45, attrs={"seconds": 3, "note": "by hand"})
    study.ask()
    add(None, state=TrialState.WAITING)
    return study


def test_one_typed_row_a_trial(storage) -> None:
    frame = trials(fill(optuna.create_study(storage=storage, direction="maximize")))
    assert frame.number.tolist() == list(range(8))
    done = ["complete", "complete", "fail", "complete", "pruned", "complete"]
    assert frame.state.tolist() == [*done, "running", "waiting"]
    assert frame.value.round(2).tolist()[:2] == [0.4, 0.5]
    assert frame.value.isna().tolist() == [False, False, True, False, True, False, True, True]
    assert frame.best.tolist()[:6] == [0.4, 0.4, 0.4, 0.4, 0.4, 0.45]  # trial 1 misses a constraint
    assert frame.feasible.tolist()[:2] == [True, False]
    assert frame.feasible.isna().tolist()[2:5] == [True, False, True]
    assert frame["cost.macs"].tolist()[1:4:2] == [0.3, 0.1]
    assert frame.value_low[1] == pytest.approx(0.4)
    assert frame.value_high.isna().tolist() == [False, False, True, False, True, True, True, True]
    assert frame["seconds.attribute"][0] == 0.5
    assert pd.isna(frame["seconds.attribute"][5])  # not a search's, and no sum of steps
    assert frame.removed.tolist()[:2] == [9, 7]
    assert frame.kept[3] == frame.kept[0]  # the same units as trial 0, so the same plan
    assert frame.preset.tolist()[0] == "taylor"
    assert frame.reused_from[3] == 0
    assert frame.reason[2] == "conv1: NaN"
    assert frame["low.rule"].cat.categories.tolist() == ["gradient", "epsilon", "gamma"]
    assert frame["low.gamma"].notna().tolist() == [False, False, True, True] + [False] * 4


def test_dtypes(storage) -> None:
    frame = trials(fill(optuna.create_study(storage=storage, direction="maximize")))
    kinds = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert not {"object"} & set(kinds.values())
    for name in ("value", "best", "seconds", "seconds.plan", "low.epsilon", "high.alpha", "cost.macs"):
        assert kinds[name] == "float64"
    for name in ("evaluated", "removed", "kept", "reused_from", "references"):
        assert kinds[name] == "Int64"
    for name in ("state", "low.rule", "start"):
        assert kinds[name] == "category"
    text = "str" if int(pd.__version__.split(".")[0]) >= 3 else "string"
    assert kinds["preset"] == kinds["reason"] == text
    assert str(frame.started.dt.tz) == "UTC"


def assert_same(one: StoredTrials, other: StoredTrials) -> None:
    assert one.numbers.tolist() == other.numbers.tolist()
    assert list(one.states) == list(other.states)
    assert list(one.started) == list(other.started)
    assert list(one.ended) == list(other.ended)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.excess, other.excess)
    assert list(one.params) == list(other.params)
    for name, values in one.params.items():
        np.testing.assert_array_equal(values, other.params[name])
    assert one.distributions == other.distributions
    assert one.attrs == other.attrs


def test_the_tables_say_what_optuna_says(tmp_path: Path) -> None:
    storage = RDBStorage(f"sqlite:///{tmp_path}/s.db")
    fill(optuna.create_study(study_name="other", storage=storage, direction="minimize"))
    study = fill(optuna.create_study(study_name="this", storage=storage, direction="maximize"))
    study.add_trial(create_trial(value=float("inf")))
    assert_same(read_trials(study, _ATTRS), from_objects(study, _ATTRS))


def test_the_number_of_queries_does_not_depend_on_the_trials(tmp_path: Path) -> None:
    storage = RDBStorage(f"sqlite:///{tmp_path}/s.db")
    study = fill(optuna.create_study(storage=storage, direction="maximize"))

    def queries() -> int:
        seen: list[str] = []

        def count(connection, cursor, statement, parameters, context, many) -> None:
            seen.append(statement)

        event.listen(Engine, "before_cursor_execute", count)
        try:
            read_trials(study, _ATTRS)
        finally:
            event.remove(Engine, "before_cursor_execute", count)
        return len(seen)

    before = queries()
    study.add_trials(study.trials[:3])
    assert 0 < queries() == before


def test_two_objectives() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.set_user_attr("fingerprint", {"objective": {"name": "top1_at_rate", "cost": "macs"}})
    for values in ((0.9, 0.8), (0.8, 0.5), (0.7, 0.6), (0.8, 0.5), (0.1, 0.4)):
        study.add_trial(create_trial(values=values))
    frame = trials(study)
    assert frame["cost.macs"].tolist() == [0.8, 0.5, 0.6, 0.5, 0.4]
    assert "value.1" not in frame
    assert frame.front.tolist() == [True, True, False, True, True]
    on_front = {trial.number for trial in study.best_trials}
    assert set(frame.number[frame.front]) == on_front


def test_a_study_of_anybodys() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        trial.set_user_attr("reason", {"a": 1})
        return trial.suggest_float("value", 0, 1), trial.suggest_categorical("flag", [True, None])

    study = optuna.create_study(directions=["minimize", "minimize"])
    study.optimize(lambda trial: (objective(trial)[0], 1.0), n_trials=3)
    frame = trials(study)
    assert frame.best.is_monotonic_decreasing
    assert frame["value.1"].tolist() == [1.0] * 3
    assert frame["param.value"].tolist() == frame.value.tolist()
    assert set(frame.flag.cat.categories) == {"True", "None"}


def test_an_empty_study_has_the_columns(storage) -> None:
    frame = trials(optuna.create_study(storage=storage))
    assert list(frame.columns[:5]) == ["number", "state", "value", "value_low", "value_high"]
    assert len(frame) == 0
    assert str(frame.started.dtype) == "datetime64[us, UTC]"
    assert len(layers(optuna.create_study(storage=storage))) == 0


def test_parameters_of_a_part_stand_together() -> None:
    names = ["a.b.rule", "low.rule", "start", "a.b.gamma", "low.gamma.conv", "a.b.c.rule", "a.b.c.epsilon"]
    assert by_part(names) == [
        "a.b.rule",
        "a.b.gamma",
        "low.rule",
        "low.gamma.conv",
        "start",
        "a.b.c.rule",
        "a.b.c.epsilon",
    ]


def test_one_row_a_layer_and_trial(storage) -> None:
    frame = layers(fill(optuna.create_study(storage=storage, direction="maximize")))
    assert frame.number.unique().tolist() == [0, 1, 3, 4]
    assert frame.layer.cat.categories.tolist() == list(UNITS)
    first = frame[frame.number == 3]
    assert first.kept.tolist() == [2, 16, 1]
    assert first.share.tolist() == [0.25, 1.0, 0.25]
    assert first.depth.tolist() == [0.0, 0.5, 1.0]
    assert str(frame.units.dtype) == "Int64"


def test_layers_of_a_study_that_did_not_note_their_sizes() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(value=1, user_attrs={"kept": {"a": 1, "b": 2}}))
    frame = layers(study)
    assert frame.kept.tolist() == [1, 2]
    assert frame.units.isna().all()
    assert frame.share.isna().all()


def test_accuracy_by_rate_and_method() -> None:
    made_up = comparison()
    frame = accuracy(made_up)
    assert list(frame.columns) == list(made_up.frame.columns)
    assert len(frame) == len(made_up.frame)
    curve = frame[(frame.part == "curve") & (frame.method == "taylor")]
    assert curve.rate.tolist() == pytest.approx([i / 10 for i in range(10)])
    assert ((frame.low <= frame.top1) & (frame.top1 <= frame.high)).all()
    assert frame.kind.cat.categories.tolist() == ["dense", "best", "preset", "criterion", "peer", "random"]
    assert frame.method.cat.categories[1] == "best found"
    assert frame[frame.method == "random"].seed.nunique() == 3


def test_one_row_a_method() -> None:
    frame = methods(comparison()).set_index("method")
    assert frame.index.tolist()[:2] == ["dense", "best found"]
    assert 0 < frame.curve_mean["best found"] < 1
