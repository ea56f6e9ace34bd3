"""Objectives beyond top-1: the highest rate, costs beside accuracy, constraints."""

from typing import Any

import pytest
from optuna.trial import TrialState
from torch import nn

from tests.search.conftest import MakeConfig, few
from tests.search.test_trials import by_hand
from xaiprune.data import LabelledImages
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import Accuracy, accuracy, cost
from xaiprune.pruning import remove
from xaiprune.recipe import PRESETS
from xaiprune.session import session as context_module
from xaiprune.study import best_trial, load_study, open_search, search
from xaiprune.trial import ScoreCache, Stopwatch, constraint_of, run_trial


def test_the_highest_rate_that_keeps_enough(config: MakeConfig) -> None:
    setup = open_search(
        config("objective=max_rate_at_drop", "objective.keep_top1=0.5", "data.validation_per_class=9")
    )
    found = run_trial(setup, PRESETS["taylor"], 0, ScoreCache(), Stopwatch())
    assert found.values is not None
    (rate,) = found.values
    enough = 0.5 * setup.dense.top1
    measured = {rate: score.total / len(setup.session.validation) for rate, score in found.scores}
    assert len(measured) <= 7  # a bisection of a hundred steps
    assert all(top1 == by_hand(setup, PRESETS["taylor"], r) for r, top1 in measured.items())
    if rate:
        assert measured[rate] >= enough
    assert round(rate + 0.01, 2) not in measured or measured[round(rate + 0.01, 2)] < enough
    again = open_search(config("objective=max_rate_at_drop", "objective.keep_top1=1"))
    assert run_trial(again, PRESETS["taylor"], 0, ScoreCache(), Stopwatch()).values[0] <= 1  # type: ignore[index]


def test_rates_and_a_searched_rate_exclude_each_other(config: MakeConfig) -> None:
    with pytest.raises(XaipruneError, match=r"objective\.rates has no effect"):
        open_search(config("objective=max_rate_at_drop", "objective.rates=[0.1]"))


@pytest.mark.parametrize("units", ["inner_filters", "filters"])
def test_a_cost_beside_top1(config: MakeConfig, units: str) -> None:
    make = config("objective.cost=macs", *few(8), f"units={units}")
    study = search(make)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    setup = open_search(make)
    trial = next(t for t in study.trials if t.user_attrs.get("preset") == "auto")
    (relevance,) = setup.session.relevances([PRESETS["taylor"]])
    from xaiprune.attribution import aggregate

    plan = setup.session.plan(aggregate(relevance, PRESETS["taylor"].aggregation), 0.5)
    smaller = remove(setup.session.model, plan, setup.session.units, setup.session.reference_images[:1])
    example = setup.session.reference_images[:1]
    assert trial.values[1] == pytest.approx(
        cost(smaller, example).macs / cost(setup.session.model, example).macs
    )
    assert trial.values[1] < 1
    front = {trial.number for trial in study.best_trials}
    best = best_trial(study)
    assert best.values[0] == max(study.trials[number].values[0] for number in front)
    assert search(make).trials[-1].number == study.trials[-1].number  # resumes


def test_constraints(config: MakeConfig) -> None:
    make = config("objective.constraints=['macs <= 0.001', 'top1 >= 0']", *few(7))
    study = search(make)
    finished = study.get_trials(states=(TrialState.COMPLETE,))
    for trial in finished:
        macs = trial.user_attrs["scores"][0]["cost"]["macs"]
        assert trial.constraints == {
            "macs <= 0.001": pytest.approx(macs - 0.001),
            "top1 >= 0": pytest.approx(-trial.value),  # type: ignore[operator]
        }
    with pytest.raises(
        XaipruneError, match=r"none of the 7 finished trials .* keeps the constraints \(macs <= 0.001"
    ):
        best_trial(study)
    costs = sorted(t.user_attrs["scores"][0]["cost"]["macs"] for t in finished)
    bound = (costs[0] + costs[-1]) / 2
    other = search(config(f"objective.constraints=['macs <= {bound:.4f}']", *few(7), "study.name=other"))
    best = best_trial(load_study(config("study.name=other")))
    assert best.user_attrs["scores"][0]["cost"]["macs"] <= bound
    ended = other.get_trials(states=(TrialState.COMPLETE,))
    kept = [t for t in ended if all(excess <= 0 for excess in t.constraints.values())]
    assert 0 < len(kept) < len(ended)
    assert best.value == max(t.value for t in kept if t.value is not None)


@pytest.mark.parametrize(
    "text", ["macs", "flops <= 0.5", "macs < 0.5", "macs <= half", "macs <= 0.5 and top1 >= 1"]
)
def test_constraints_that_cannot_be_read(config: MakeConfig, text: str) -> None:
    with pytest.raises(XaipruneError, match=r"is not a bound such as 'macs <= 0\.5'"):
        constraint_of(text)


def test_latency_is_measured(config: MakeConfig) -> None:
    setup = open_search(config("objective.constraints=['latency <= 100']"))
    found = run_trial(setup, PRESETS["taylor"], 0, ScoreCache(), Stopwatch())
    assert found.constraints["latency <= 100"] < 0
    assert found.scores[0][1].cost["latency"] > 0


def test_trials_classify_in_bfloat16_and_nothing_else_does(
    config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = config("objective.precision=bfloat16", *few(3), "study.name=low")
    used: list[tuple[int, str]] = []

    def spy(model: nn.Module, images: LabelledImages, *args: Any, **kwargs: Any) -> Accuracy:
        used.append((len(images), kwargs["precision"]))
        return accuracy(model, images, *args, **kwargs)

    monkeypatch.setattr(context_module, "accuracy", spy)
    study = search(asked)
    assert used
    assert {precision for _, precision in used} == {"bfloat16"}
    used.clear()
    setup = open_search(asked)
    setup.session.accuracy(images=setup.session.dataset.test)
    assert used == [(len(setup.session.dataset.test), "float32")]
    assert study.user_attrs["fingerprint"]["objective"]["precision"] == "bfloat16"
    with pytest.raises(XaipruneError, match=r"objective\.precision was bfloat16, now unset"):
        search(config(*few(4), "study.name=low"))


def test_a_precision_without_trials_that_classify(config: MakeConfig) -> None:
    with pytest.raises(
        XaipruneError, match=r"objective\.precision has no effect with objective=faithfulness"
    ):
        open_search(config("objective=faithfulness", "objective.precision=bfloat16"))
