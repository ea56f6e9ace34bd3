"""One trial: its value, what is stored with it, and what is not measured twice."""

from pathlib import Path

import optuna
import pytest
import torch

from tests.search.conftest import MakeConfig
from xaiprune.attribution import aggregate, attribute
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import accuracy
from xaiprune.pruning import make_plan, masked
from xaiprune.recipe import PRESETS, Recipe
from xaiprune.session import Context
from xaiprune.study import open_context, recipe_of, search
from xaiprune.study.setup import limited
from xaiprune.trial.cache import ScoreCache
from xaiprune.trial.objective import mean, objective_of, trapezoid
from xaiprune.trial.run import Stopwatch, attributes, run


def recipe(name: str) -> Recipe:
    preset = PRESETS[name]
    return Recipe(preset.composite, preset.start, preset.aggregation)


def by_hand(context: Context, recipe: Recipe, rate: float) -> float:
    """Top-1 of a recipe, step by step with the other rooms' functions."""
    data, model, units = context.dataset, context.model, context.units
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
        return accuracy(model, context.validation, data.task).top1


@pytest.mark.parametrize("preset", ["taylor", "yeom_zplus"])
@pytest.mark.parametrize("network", ["cnn", "vit"])
def test_the_value_is_the_top1_of_the_masked_network(
    network: str, preset: str, request: pytest.FixtureRequest
) -> None:
    context = request.getfixturevalue(network)
    before = {name: tensor.clone() for name, tensor in context.model.state_dict().items()}
    found = run(context, recipe(preset), 0, ScoreCache(), Stopwatch())
    assert found.values == (by_hand(context, recipe(preset), 0.5),)
    assert found.reused is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in context.model.state_dict().items())


def test_several_rates(config: MakeConfig) -> None:
    for name, combine in (("top1_at_rate", mean), ("curve_mean", mean), ("curve_trapezoid", trapezoid)):
        context = open_context(config(f"objective={name}", "objective.rates=[0,0.2,0.6]"))
        found = run(context, recipe("epsilon"), 0, ScoreCache(), Stopwatch())
        top1 = [by_hand(context, recipe("epsilon"), rate) for rate in (0, 0.2, 0.6)]
        assert found.values == (pytest.approx(combine([0, 0.2, 0.6], top1)),)


def test_both_means_of_a_curve() -> None:
    assert mean([0, 0.5, 0.6], [1, 0.4, 0.1]) == pytest.approx(0.5)
    assert trapezoid([0, 0.5, 0.6], [1, 0.4, 0.1]) == pytest.approx((0.35 + 0.025) / 0.6)
    assert trapezoid([0.3], [0.7]) == 0.7


def test_objectives_by_name(config: MakeConfig) -> None:
    assert objective_of(config("prune.rate=0.3")).rates == (0.3,)
    assert len(objective_of(config("objective=curve_mean")).rates) == 10
    with pytest.raises(XaipruneError, match=r"objective\.rates must rise"):
        objective_of(config("objective.rates=[0.5,0.2]"))
    with pytest.raises(XaipruneError, match="did you mean 'curve_mean'"):
        objective_of(config("objective.name=curve_men"))


def test_the_same_recipe_is_not_attributed_again(cnn: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    known = ScoreCache()
    first = run(cnn, recipe("epsilon"), 0, known, Stopwatch())
    study = optuna.create_study()
    trial = study.ask()
    for key, value in attributes(cnn, recipe("epsilon"), first, Stopwatch()).items():
        trial.set_user_attr(key, value)
    study.tell(trial, first.values)
    monkeypatch.setattr(Context, "relevances", lambda *_: pytest.fail("attributed again"))
    again = run(cnn, recipe("epsilon"), 7, ScoreCache.of(study), Stopwatch())
    assert (again.values, again.reused) == (first.values, 0)


def test_the_same_plan_is_not_evaluated_again(cnn: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    known = ScoreCache()
    # epsilon at 0 and at 1e-30 rank alike, but are not the same recipe.
    first = run(cnn, recipe("taylor"), 0, known, Stopwatch())
    monkeypatch.setattr(Context, "accuracy", lambda *_, **__: pytest.fail("evaluated again"))
    again = run(cnn, recipe("epsilon_logit"), 3, known, Stopwatch())
    assert (again.values, again.reused) == (first.values, 0)


def test_what_is_stored_rebuilds_the_recipe(config: MakeConfig) -> None:
    study = search(config("study.n_trials=10", "units=heads", "prune.rate=0.3", model="digits_vit"))
    context = open_context(config("units=heads", "prune.rate=0.3", model="digits_vit"))
    for trial in study.trials:
        (score,) = trial.user_attrs["scores"]
        assert score["top1"] == trial.value == score["correct"] / score["images"]
        assert score["low"] <= score["top1"] <= score["high"]
        assert Recipe.from_dict(recipe_of(trial).to_dict()) == recipe_of(trial)
        assert by_hand(context, recipe_of(trial), 0.3) == trial.value
    timed = {step for trial in study.trials for step in trial.user_attrs["seconds"]}
    assert timed == {"suggest", "attribute", "plan", "evaluate"}


def test_a_damaged_recipe_is_refused() -> None:
    with pytest.raises(XaipruneError, match="trial 3: has no start"):
        Recipe.from_dict({"composite": {}}, "trial 3")


def test_fewer_validation_images(cnn: Context) -> None:
    images = cnn.dataset.validation
    few = limited(images, 7, seed=0)
    assert len(few) == 7
    assert few.files == limited(images, 7, seed=0).files != limited(images, 7, seed=1).files
    assert limited(images, 10_000, seed=0) is images


def test_a_plan_is_not_searched(config: MakeConfig, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.touch()
    with pytest.raises(XaipruneError, match=r"prune\.plan=.*plan\.json is not searched"):
        open_context(config(f"prune.plan={plan}"))


@pytest.mark.parametrize("budget", ["params", "macs"])
def test_budgets(config: MakeConfig, budget: str) -> None:
    context = open_context(config(f"prune.budget={budget}"))
    found = run(context, recipe("epsilon"), 0, ScoreCache(), Stopwatch())
    assert found.values is not None
    assert 0 <= found.values[0] <= 1
