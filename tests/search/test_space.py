"""Spaces: read, reduced to a network, suggested from, and inverted."""

from math import prod
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import FixedTrial

from xaiprune.attribution.lrp import LayerInfo
from xaiprune.config import AttributionConfig, conf_dir
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS, Recipe
from xaiprune.space import NotInSpace, Space, params_of, read_space, suggest
from xaiprune.space.reduce import reached
from xaiprune.study import open_search
from xaiprune.study.sampler import grid
from xaiprune.trial import SearchSetup
from xaiprune.units import UnitLayer

SHIPPED = ("depth_groups", "pxp")


def shipped(name: str) -> dict[str, Any]:
    return yaml.safe_load((conf_dir() / "space" / f"{name}.yaml").read_text())


def asked(space: Space, seed: int, count: int) -> list[tuple[dict[str, Any], Recipe]]:
    """Random points: the parameters that were asked for, and what came of them."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trials = [study.ask() for _ in range(count)]
    return [(trial.params, recipe) for trial in trials for recipe in [suggest(trial, space)]]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_spaces_are_read(name: str) -> None:
    space = read_space(shipped(name))
    assert [part.name for part in space.parts] == ["low", "mid", "high", "classifier"]


def test_only_what_matters_is_asked(cnn: SearchSetup, vit: SearchSetup) -> None:
    asked_cnn = {key for params, _ in asked(cnn.space, 0, 60) for key in params}
    asked_vit = {key for params, _ in asked(vit.space, 0, 60) for key in params}
    # ReLU passes relevance as it passes gradients, and there is no attention.
    assert not asked_cnn & {"between", "softmax"}
    assert {"between", "softmax", "start", "aggregate", "image_weight", "normalize"} <= asked_vit
    assert {"low.rule", "low.gamma", "mid.epsilon", "high.alpha", "classifier.rule"} <= asked_cnn


def test_parameters_belong_to_their_rule(cnn: SearchSetup) -> None:
    for params, recipe in asked(cnn.space, 1, 60):
        for part in ("low", "mid", "high", "classifier"):
            own = {key for key in params if key.startswith(f"{part}.")}
            wanted = {"gamma": {"gamma"}, "epsilon": {"epsilon"}, "alphabeta": {"alpha"}}
            extra = wanted.get(params[f"{part}.rule"], set())
            assert own == {f"{part}.{key}" for key in {"rule"} | extra}
        assert recipe.composite.softmax == "attnlrp"


def test_softmax_is_asked_only_without_gradients_between(vit: SearchSetup) -> None:
    for params, recipe in asked(vit.space, 2, 60):
        assert ("softmax" in params) == (params["between"] == "lrp")
        assert (recipe.composite.norm == "gradient") == (params["between"] == "gradient")


def test_one_layer_a_rank_makes_normalisation_pointless(config: Any) -> None:
    space = open_search(config("prune.scope=layer")).space
    assert all("normalize" not in params for params, _ in asked(space, 0, 5))


@pytest.mark.parametrize("network", ["cnn", "vit"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_inverse_finds_what_was_suggested(
    network: str, seed: int, request: pytest.FixtureRequest
) -> None:
    space = request.getfixturevalue(network).space
    for params, recipe in asked(space, seed, 40):
        assert params_of(space, recipe) == pytest.approx(params)


@pytest.mark.parametrize("network", ["cnn", "vit"])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_point_of_the_default_space(
    network: str, preset: str, request: pytest.FixtureRequest
) -> None:
    setup = request.getfixturevalue(network)
    params = params_of(setup.space, PRESETS[preset])
    again = suggest(FixedTrial(params), setup.space)
    rules = PRESETS[preset].composite.resolve(setup.session.layers)
    for part in setup.space.parts:
        for layer in part.layers:
            assert again.composite.rule_for(layer) == rules[layer.name]
    assert again.start == PRESETS[preset].start
    assert again.aggregation == PRESETS[preset].aggregation


def test_taylor_outside_a_space_says_why(vit: SearchSetup, config: Any) -> None:
    space = open_search(config("space=pxp", "units=neurons", model="digits_vit")).space
    with pytest.raises(NotInSpace, match=r"low cannot be epsilon"):
        params_of(space, PRESETS["taylor"])


def test_the_papers_grid_has_its_points(config: Any) -> None:
    for model, units, points in (("digits_resnet", "filters", 512), ("digits_vit", "neurons", 1536)):
        space = open_search(config("space=pxp", f"units={units}", model=model)).space
        assert prod(len(values) for values in grid(space).values()) == points


def test_a_grid_refuses_ranges(cnn: SearchSetup) -> None:
    with pytest.raises(XaipruneError, match=r"low\.epsilon, which is a range"):
        grid(cnn.space)


def test_rules_below_the_lowest_unit_do_not_matter() -> None:
    layers = [LayerInfo(f"l{i}", "linear", i / 4) for i in range(4)]

    def names(*units: UnitLayer) -> list[str]:
        return [layer.name for layer in reached(layers, units)]

    assert names(UnitLayer("l1", "neurons", 4, "l1")) == ["l2", "l3"]
    assert names(UnitLayer("attn", "heads", 4, "l1", "input")) == ["l1", "l2", "l3"]
    assert names(UnitLayer("l2", "filters", 4, "bn2"), UnitLayer("l1", "filters", 4, "bn1")) == ["l2", "l3"]


def test_left_out_choices_come_from_attribution() -> None:
    data = {**shipped("depth_groups")}
    del data["start"], data["aggregate"]
    space = read_space(data, AttributionConfig(start="contrast", aggregate="signed"))
    assert space["start"].choices == ("contrast",)
    assert space["aggregate"].choices == ("signed",)


def test_parts_by_type_and_name(config: Any) -> None:
    wanted = config("units=neurons+heads", model="digits_vit")
    parts = {"qkv": {"name": "*.qkv", "rules": ["zplus"]}, "dense": {"type": "linear"}, "rest": {}}
    wanted.space["parts"] = parts
    setup = open_search(wanted)
    # The only convolution, the patch embedding, lies below all units: nothing is left for the rest.
    assert [part.name for part in setup.space.parts] == ["qkv", "dense"]
    for _, recipe in asked(setup.space, 0, 5):
        rules = recipe.composite.resolve(setup.session.layers)
        assert rules["blocks.3.attn.qkv"].name == "zplus"


def changed(**changes: Any) -> dict[str, Any]:
    return {**shipped("depth_groups"), **changes}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(schema="xaiprune/space/9"), "space.schema is 'xaiprune/space/9'"),
        (changed(stat=["one"]), "unknown key 'space.stat'; did you mean 'start'"),
        (changed(start=["ones"]), "space.start must be one of one, logit, contrast, got 'ones'"),
        (changed(softmax="gradient"), "space.softmax must be one of"),
        (changed(rules={}), "space.rules must be a section"),
        (changed(rules={"a": {"epsilon": 1}}), r"space.rules.a must say its rule"),
        (changed(rules={"a": {"rule": "gama"}}), "must be one of .*did you mean 'gamma'"),
        (changed(rules={"a": {"rule": "gamma", "epsilon": 1}}), r"unknown key 'space.rules.a.epsilon'"),
        (changed(rules={"a": {"rule": "gamma", "gamma": "much"}}), r"space.rules.a.gamma must be a number"),
        (
            changed(rules={"a": {"rule": "gamma", "gamma": {"low": 0, "high": 1, "log": True}}}),
            r"space.rules.a.gamma: low must lie below high above zero",
        ),
        (changed(rules={"a": {"rule": "gamma", "gamma": -1}}), r"rule gamma: gamma must be at least 0"),
        (changed(rules={"a": {"rule": "alphabeta", "alpha": 0.5}}), r"alpha must be at least 1"),
        (changed(rules={"a": {"rule": "gamma", "gamma": {"conv": 1}}}), "no number for linear layers"),
        (changed(parts={"low": {"group": "lowest"}}), "space.parts.low: composite: group 'lowest'"),
        (changed(parts={"a": {}, "b": {"group": "low"}}), "space.parts.a has no condition"),
        (changed(parts={"a": {"rules": ["zpluss"]}}), "did you mean 'zplus'"),
        (changed(depth=[0.5]), "space.depth must be two fractions"),
    ],
)
def test_mistakes_are_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(XaipruneError, match=message) as caught:
        read_space(data)
    assert "\n" not in str(caught.value)


def test_a_layer_without_a_part_is_named(config: Any) -> None:
    with pytest.raises(XaipruneError, match=r"no part covers layer 'fc' \(type linear, group classifier\)"):
        open_search(config("~space.parts.classifier"))
