"""How a ranking is used, as dimensions of the default space; and what a configuration keeps out of it."""

import logging
from dataclasses import fields, replace
from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial

from tests.search.conftest import MakeConfig
from xaiprune.config import Config, compose
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS, Recipe, auto_recipe
from xaiprune.session import PruningSession
from xaiprune.space import NotInSpace, Space, params_of, search_space, suggest
from xaiprune.space.dimensions import DIMENSIONS
from xaiprune.study import open_search, open_study, search
from xaiprune.study.fingerprint import check_same, fingerprint_of
from xaiprune.trial import SearchSetup

# The fixture sets order and compensation; typed like this they are searched nevertheless.
ORDER, COMPENSATE = "space.order=[score,joint]", "space.compensate=[none,mean,linear]"
USED = ("order", "compensate", "sequential", "bn")


def asked(space: Space, count: int, seed: int = 0) -> list[tuple[dict[str, Any], Recipe]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trials = [study.ask() for _ in range(count)]
    return [(trial.params, recipe) for trial in trials for recipe in [suggest(trial, space)]]


def searched(setup: SearchSetup) -> list[str]:
    return [name for name in (*USED, "rounds") if name in setup.space.searched()]


@pytest.fixture
def everything(config: MakeConfig) -> SearchSetup:
    """All dimensions there are."""
    more = ("space.rounds=[1,2,4]", "space.scope=[global,layer]", "space.references=[1,2]")
    return open_search(
        config(ORDER, COMPENSATE, *more, "data.reference_per_class=2", "units=neurons", model="digits_vit")
    )


@pytest.mark.parametrize("space", ["depth_groups", "layer_types", "per_layer"])
def test_the_default_spaces_cover_order_and_compensation(space: str) -> None:
    found = compose("search", [f"space={space}"]).space
    assert {name: found[name] for name in USED} == {
        "order": ["score", "joint", "error"],
        "compensate": ["none", "mean", "linear"],
        "sequential": [True, False],
        "bn": ["keep", "recalibrate"],
    }
    assert not set(USED) & set(compose("search", ["space=pxp"]).space)


def test_every_dimension_is_a_field_of_the_recipe() -> None:
    names = {field.name for field in fields(Recipe)} | {"aggregation.mode", "aggregation.image_weight"}
    for dimension in DIMENSIONS:
        assert dimension.field in names | {"aggregation.normalize", ""}
        assert dimension.field or dimension.name in ("between", "softmax")
        dimension.of(PRESETS["taylor"])


def test_every_point_is_found_again(everything: SearchSetup) -> None:
    space = everything.space
    assert searched(everything) == [*(name for name in USED if name != "bn"), "rounds"]
    names = set()
    for params, recipe in asked(space, 60):
        assert params_of(space, recipe) == pytest.approx(params)
        assert Recipe.from_dict(recipe.to_dict()) == recipe
        names |= set(params)
    assert {dimension.name for dimension in DIMENSIONS} - {
        "relevance_per",
        "bn",
    } <= names  # typed; no BatchNorm


def test_layer_by_layer_is_asked_only_of_compensation(everything: SearchSetup) -> None:
    for params, recipe in asked(everything.space, 40):
        assert ("sequential" in params) == (params["compensate"] != "none")
        assert recipe.sequential == params.get("sequential")
        assert recipe.rounds == params["rounds"]
    taylor = params_of(everything.space, PRESETS["taylor"])
    assert (taylor["order"], taylor["compensate"], taylor["rounds"]) == ("score", "none", 1)  # as configured
    assert "sequential" not in taylor


def test_rounds_and_sequential_reach_the_measurement(config: MakeConfig, monkeypatch: Any) -> None:
    wanted = ("space.rounds=[2]", "space.compensate=[none,linear]", "space.sequential=[false]")
    seen: list[tuple[Any, ...]] = []
    pruned = PruningSession.pruned

    def noted(self: PruningSession, *rest: Any, **more: Any) -> Any:
        seen.append((self.prune.rounds, self.prune.sequential, self.prune.compensate))
        return pruned(self, *rest, **more)

    monkeypatch.setattr(PruningSession, "pruned", noted)
    search(config(*wanted, "units=inner_filters", "study.presets=[]", "sampler=random", "study.n_trials=5"))
    assert set(seen) == {
        (2, False, "linear"),
        (2, True, "none"),
    }  # where nothing is compensated, as configured


def test_batchnorm_is_asked_of_networks_that_have_it(config: MakeConfig) -> None:
    setup = open_search(config("space.bn=[keep,recalibrate]", "units=inner_filters"))
    assert "bn" in setup.space.searched()
    assert {recipe.bn for _, recipe in asked(setup.space, 10)} == {"keep", "recalibrate"}
    assert params_of(setup.space, PRESETS["taylor"])["bn"] == "keep"  # as configured
    assert "bn" not in open_search(config("space.bn=[keep,recalibrate]", model="digits_vit")).space.searched()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("space.rounds=[1,0]", r"space\.rounds must be whole numbers of rounds, from 1, got \[1, 0\]"),
        ("space.rounds=[true]", r"space\.rounds must be whole numbers"),
        ("space.rounds=[]", r"space\.rounds must be whole numbers"),
        ("space.sequential=[yess]", r"space\.sequential must be true or false, got \['yess'\]"),
        ("space.references=[0]", r"space\.references must be whole numbers of images a class, from 1"),
    ],
)
def test_mistakes_are_named(config: MakeConfig, key: str, message: str) -> None:
    with pytest.raises(XaipruneError, match=message):
        open_search(config(key))


def test_what_makes_no_difference_is_not_searched(config: MakeConfig, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "xaiprune")
    # Units that write into the residual stream are only masked.
    stream = config(ORDER, COMPENSATE, "units=linear_outputs", "units.include=['*.fc2']", model="digits_vit")
    setup = open_search(stream)
    assert searched(setup) == []
    (said,) = [r.message for r in caplog.records if r.message.startswith("space.order without joint: ")]
    assert said.endswith("no unit layer has consumers of its own (units of residual streams are only masked)")
    recipe = suggest(FixedTrial(params_of(setup.space, PRESETS["epsilon"])), setup.space)
    assert (recipe.order, recipe.compensate, recipe.sequential) == (None, None, None)
    presets = [t.user_attrs["preset"] for t in open_study(setup).trials]
    assert presets == [name for name in presets if "," not in name]  # neither "taylor, joint" nor signed ones
    with pytest.raises(XaipruneError, match=r"space\.order=joint: no unit layer has consumers of its own"):
        open_search(
            config(
                *("space.order=[joint]", "prune.order=joint", "units=linear_outputs"),
                "units.include=['*.fc2']",
                model="digits_vit",
            )
        )


def test_nothing_of_it_is_searched_where_no_trial_prunes(config: MakeConfig) -> None:
    assert (
        searched(open_search(config("objective=faithfulness", ORDER, COMPENSATE, "space.rounds=[1,2]"))) == []
    )


def composed(*typed: str) -> Config:
    return compose("search", ["model=digits_resnet", *typed])


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ((), USED),
        (("prune.compensate=none",), ("order", "sequential", "bn")),
        (("prune.compensate=linear", "prune.sequential=true"), ("order", "bn")),
        (("prune={order: joint}",), ("compensate", "sequential", "bn")),
        (("prune.order=joint", "space.order=[score,joint]"), USED),
        (
            ("prune.order=score", "+space.order=[score,joint]"),
            USED,
        ),  # as it was typed before it was the default
        (("space.order=null", "space.sequential=null", "prune.bn=keep"), ("compensate",)),
    ],
)
def test_what_prune_says_is_not_searched(typed: tuple[str, ...], left: tuple[str, ...]) -> None:
    space = composed(*typed).space
    assert tuple(name for name in USED if space.get(name) is not None) == left


def test_a_search_says_what_it_does_not_search(config: MakeConfig, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "xaiprune")
    for worker, lines in (("null", 4), ("1", 0)):  # who leads the workers has said it
        caplog.clear()
        setup = open_search(config("prune.sequential=false", ORDER, f"worker={worker}"))
        said = [r.message for r in caplog.records if r.message.endswith("is set, so it is not searched")]
        expected = ["prune.relevance_per=unit", "prune.compensate=none", "prune.sequential=false"]
        expected.append("prune.bn=keep")
        assert said == [f"{setting} is set, so it is not searched" for setting in expected][:lines]
        assert searched(setup) == ["order"]


def test_an_experiment_says_it_too(tmp_path: Any) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nprune: {compensate: linear}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    assert compose("search", ["experiment=mine"], config_dir=str(tmp_path)).space["compensate"] is None


def test_a_space_must_have_what_prune_says_beside_it() -> None:
    with pytest.raises(XaipruneError, match=r"prune\.order=joint is not among space\.order=\['score'\]"):
        composed("prune.order=joint", "space.order=[score]")


def test_a_loop_of_ones_own_searches_what_its_session_leaves_open(cnn: SearchSetup) -> None:
    session = cnn.session
    auto = auto_recipe(session.model, session.units, session.example)
    session = session.with_prune(**auto.prune)
    assert {"order", "compensate", "relevance_per"} <= set(search_space(session).searched())
    names = search_space(session.with_prune(order="score")).searched()
    assert "order" not in names
    assert "compensate" in names


def test_an_older_study_says_how_it_goes_on(config: MakeConfig) -> None:
    """It was made when the default space had no such dimension."""
    now = open_search(config(ORDER))
    older = open_search(config("space.order=null", "space.sequential=null"))
    stored, current = fingerprint_of(older), fingerprint_of(now)
    stored["space"] = {name: value for name, value in stored["space"].items() if value is not None}
    check_same(stored, fingerprint_of(older), "old", "here")
    with pytest.raises(
        XaipruneError,
        match=r"without what it does not search: space\.order=null space\.sequential=null\. Set study\.name",
    ):
        check_same(stored, current, "old", "here")


def test_a_given_recipe_may_be_one_of_rounds(everything: SearchSetup) -> None:
    recipe = replace(PRESETS["epsilon"], rounds=4, compensate="linear", sequential=False)
    found = params_of(everything.space, recipe)
    assert (found["rounds"], found["compensate"], found["sequential"]) == (4, "linear", False)
    with pytest.raises(NotInSpace, match="rounds cannot be 3"):
        params_of(everything.space, replace(recipe, rounds=3))
