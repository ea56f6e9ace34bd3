"""One trial: its value, what is stored with it, and what is not measured twice."""

from pathlib import Path

import optuna
import pytest
import torch

from tests.search.conftest import MakeConfig, few
from xaiprune.attribution import aggregate, attribute
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import accuracy
from xaiprune.evaluation.curve import trapezoid
from xaiprune.pruning import make_plan, masked
from xaiprune.recipe import PRESETS, Recipe
from xaiprune.registry import OBJECTIVES
from xaiprune.session import PruningSession, limited
from xaiprune.study import open_search, recipe_of, search
from xaiprune.trial import ScoreCache, SearchSetup, Stopwatch, attributes, objective_of, run_trial


def by_hand(setup: SearchSetup, recipe: Recipe, rate: float) -> float:
    """Top-1 of a recipe, step by step with the other packages' functions."""
    data, model, units = setup.session.dataset, setup.session.model, setup.session.units
    relevance = attribute(
        model,
        data.reference.tensor(),
        data.reference.labels,
        units,
        recipe.composite,
        task=data.task,
        start=recipe.start,
    )
    plan = make_plan(aggregate(relevance, recipe.aggregation), units, rate)
    with masked(model, plan, units):
        return accuracy(model, setup.session.validation, data.task).top1


@pytest.mark.parametrize("preset", ["taylor", "yeom_zplus"])
@pytest.mark.parametrize("network", ["cnn", "vit"])
def test_the_value_is_the_top1_of_the_masked_network(
    network: str, preset: str, request: pytest.FixtureRequest
) -> None:
    setup = request.getfixturevalue(network)
    before = {name: tensor.clone() for name, tensor in setup.session.model.state_dict().items()}
    found = run_trial(setup, PRESETS[preset], 0, ScoreCache(), Stopwatch())
    assert found.values == (by_hand(setup, PRESETS[preset], 0.5),)
    assert found.reused is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in setup.session.model.state_dict().items())


def test_several_rates(config: MakeConfig) -> None:
    for name, combine in (("top1_at_rate", mean), ("curve_mean", mean), ("curve_trapezoid", trapezoid)):
        setup = open_search(config(f"objective={name}", "objective.rates=[0,0.2,0.6]"))
        found = run_trial(setup, PRESETS["epsilon"], 0, ScoreCache(), Stopwatch())
        top1 = [by_hand(setup, PRESETS["epsilon"], rate) for rate in (0, 0.2, 0.6)]
        assert found.values == (pytest.approx(combine([0, 0.2, 0.6], top1)),)


def mean(rates: list[float], top1: list[float]) -> float:
    return sum(top1) / len(top1)


def test_both_means_of_a_curve() -> None:
    objectives = [OBJECTIVES[name](name, ()) for name in ("curve_mean", "curve_trapezoid")]
    assert objectives[0].combine([0, 0.5, 0.6], [1, 0.4, 0.1]) == pytest.approx(0.5)
    assert objectives[1].combine([0, 0.5, 0.6], [1, 0.4, 0.1]) == pytest.approx((0.35 + 0.025) / 0.6)
    assert trapezoid([0, 0.5, 0.6], [1, 0.4, 0.1]) == pytest.approx((0.35 + 0.025) / 0.6)
    assert trapezoid([0.3], [0.7]) == 0.7


def test_objectives_by_name(config: MakeConfig) -> None:
    assert objective_of(config("prune.rate=0.3")).rates == (0.3,)
    assert len(objective_of(config("objective=curve_mean")).rates) == 10
    with pytest.raises(XaipruneError, match=r"objective\.rates must rise"):
        objective_of(config("objective.rates=[0.5,0.2]"))
    with pytest.raises(XaipruneError, match="did you mean 'curve_mean'"):
        objective_of(config("objective.name=curve_men"))


def test_the_same_recipe_is_not_attributed_again(cnn: SearchSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    known = ScoreCache()
    first = run_trial(cnn, PRESETS["epsilon"], 0, known, Stopwatch())
    study = optuna.create_study()
    trial = study.ask()
    for key, value in attributes(cnn, PRESETS["epsilon"], first, Stopwatch()).items():
        trial.set_user_attr(key, value)
    study.tell(trial, first.values)
    monkeypatch.setattr(PruningSession, "relevances", lambda *_: pytest.fail("attributed again"))
    again = run_trial(cnn, PRESETS["epsilon"], 7, ScoreCache.of(study), Stopwatch())
    assert (again.values, again.reused) == (first.values, 0)


def test_the_same_plan_is_not_evaluated_again(cnn: SearchSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    known = ScoreCache()
    # epsilon at 0 and at 1e-30 rank alike, but are not the same recipe.
    first = run_trial(cnn, PRESETS["taylor"], 0, known, Stopwatch())
    monkeypatch.setattr(PruningSession, "accuracy", lambda *_, **__: pytest.fail("evaluated again"))
    again = run_trial(cnn, PRESETS["epsilon_logit"], 3, known, Stopwatch())
    assert (again.values, again.reused) == (first.values, 0)


def test_what_is_stored_rebuilds_the_recipe(config: MakeConfig) -> None:
    study = search(config(*few(10), "units=heads", "prune.rate=0.3", model="digits_vit"))
    setup = open_search(config("units=heads", "prune.rate=0.3", model="digits_vit"))
    for trial in study.trials:
        (score,) = trial.user_attrs["scores"]
        assert score["top1"] == trial.value == score["correct"] / score["images"]
        assert score["low"] <= score["top1"] <= score["high"]
        assert Recipe.from_dict(recipe_of(trial).to_dict()) == recipe_of(trial)
        assert by_hand(setup, recipe_of(trial), 0.3) == trial.value
    timed = {step for trial in study.trials for step in trial.user_attrs["seconds"]}
    assert timed == {"suggest", "attribute", "plan", "evaluate"}


def test_a_damaged_recipe_is_refused() -> None:
    with pytest.raises(XaipruneError, match="trial 3: has no start"):
        Recipe.from_dict({"composite": {}}, "trial 3")


def test_fewer_validation_images(cnn: SearchSetup) -> None:
    images = cnn.session.dataset.validation
    few = limited(images, 7, seed=0)
    assert len(few) == 7
    assert few.files == limited(images, 7, seed=0).files != limited(images, 7, seed=1).files
    assert limited(images, 10_000, seed=0) is images


def test_a_plan_is_not_searched(config: MakeConfig, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.touch()
    with pytest.raises(XaipruneError, match=r"prune\.plan=.*plan\.json is not searched"):
        open_search(config(f"prune.plan={plan}"))


@pytest.mark.parametrize("budget", ["params", "macs"])
def test_budgets(config: MakeConfig, budget: str) -> None:
    setup = open_search(config(f"prune.budget={budget}"))
    found = run_trial(setup, PRESETS["epsilon"], 0, ScoreCache(), Stopwatch())
    assert found.values is not None
    assert 0 <= found.values[0] <= 1
