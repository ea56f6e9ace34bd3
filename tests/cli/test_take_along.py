"""``recipe=FILE``: what a study found, taken along to the other tasks, on its network and on others."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.search.conftest import MakeConfig, few
from xaiprune.cli.common.pruning import configured_plan
from xaiprune.config import Config, compose, prepare, sweep_of
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PAPER, PRESETS, Recipe, auto_recipe
from xaiprune.session import open_session
from xaiprune.study import recipe_of, save_trial, search

# Everything that a recipe can carry beside its composite.
SPACE = [
    "space.scale.low.low=0.2",
    "space.scale.low.high=5",
    "space.references=[1, 2]",
    "space.scope=[global, layer]",
    "space.compensate=[none, mean]",
    "space.order=[score, joint]",
    "space.sequential=[true, false]",
    "space.rounds=[1, 2]",
    "data.reference_per_class=2",
    "pruner=none",
    "sampler=random",
]
RECIPE = {
    "start": "contrast",
    "aggregate": "signed",
    "image_weight": "equal",
    "normalize": "max",
}


def network_of(config: Config, *overrides: str) -> list[str]:
    """What one would type for the same network and images."""
    kwargs = [f"model.kwargs.{key}={value}" for key, value in config.model.kwargs.items()]
    return [
        f"model={config.model.name}",
        f"model.checkpoint={config.model.checkpoint}",
        *kwargs,
        f"data.cache_dir={config.data.cache_dir}",
        f"data.reference_per_class={config.data.reference_per_class}",
        "data.validation_per_class=4",
        "data.test_per_class=2",
        "device=cpu",
        *overrides,
    ]


def used(*overrides: str) -> tuple[Config, Recipe]:
    """A configuration of `xaiprune prune`, and the recipe that its session has."""
    config = compose("prune", list(overrides))
    return config, open_session(config).recipe


@pytest.fixture
def network(config: MakeConfig) -> list[str]:
    """What one types for the network and images of `config`, and for its filters."""
    return network_of(config(), "units=filters")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A composite file with a recipe of its own."""
    file = tmp_path / "mine.yaml"
    content = {
        "schema": "xaiprune/composite/1",
        "default": {"rule": "zplus"},
        "provenance": {
            "attribution": RECIPE,
            "recipe": {
                "scale": {"low": 2.0},
                "references": 3,
                "compensate": "linear",
                "rate": 0.25,
                "order": "joint",
            },
        },
    }
    file.write_text(yaml.safe_dump(content))
    return file


def test_every_trials_plan_is_reproduced(config: MakeConfig, tmp_path: Path) -> None:
    asked = config(*few(28), "prune.rate=0.4", *SPACE)
    study = search(asked)
    hashes, kinds = set(), set()
    for trial in (*study.trials[:4], *study.trials[-12:]):  # presets, and what was sampled
        file = save_trial(study, trial, tmp_path / f"{trial.number}.yaml")
        again = compose("prune", network_of(asked, f"recipe={file}"))  # not even the rate is typed
        session = open_session(again)
        assert session.recipe.composite == recipe_of(trial).composite
        plan, _ = configured_plan(again, session)
        assert session.plan_key(plan) == trial.user_attrs["scores"][0]["plan"]
        hashes.add(plan.hash)
        prune = session.prune
        kinds.add((prune.scope, prune.compensate, prune.sequential, prune.order, prune.rounds))
    assert len(hashes) > 8
    assert len(kinds) > 4


def test_on_another_network_of_the_family(config: MakeConfig, tmp_path: Path, session_cache: str) -> None:
    study = search(config(*few(8)))
    trial = next(t for t in study.trials if t.user_attrs.get("preset") == "alpha2beta1_first")
    file = save_trial(study, trial, tmp_path / "found.yaml")
    other = compose(
        "prune",
        [
            *("model=resnet18", "model.pretrained=false", "model.kwargs.num_classes=10"),
            *(f"composite={file}", f"data.cache_dir={session_cache}", "data.image_size=32"),
            *("data.reference_per_class=1", "data.label_space=folders", "units=inner_filters", "device=cpu"),
        ],
    )
    session = open_session(other)
    rules = session.recipe.composite.resolve(session.layers)
    assert [rules[name].name for name in ("conv1", "layer3.0.conv1", "layer4.1.conv2")] == [
        *("alphabeta", "zplus", "epsilon")
    ]
    plan, _ = configured_plan(other, session)
    assert (plan.n_units, plan.n_removed) == (1920, 960)  # ResNet-18's inner filters


@pytest.mark.parametrize("key", ["recipe", "composite"])
def test_the_file_brings_its_recipe_unless_typed(mine: Path, network: list[str], key: str) -> None:
    config, found = used(*network, f"{key}={mine}")
    assert (config.recipe, config.composite.file) == (str(mine), None)
    assert found.attribution == RECIPE
    assert (found.scale, found.references) == ({"low": 2.0}, 3)
    assert found.prune == {**PAPER.prune, "compensate": "linear", "order": "joint"}
    assert (config.prune.rate, found.rate) == (0.25, 0.25)
    typed = ["attribution.start=one", "attribution.scale.low=3", "prune={compensate: mean}", "prune.rate=0.3"]
    _, found = used(*network, f"{key}={mine}", *typed)
    assert (found.start, found.aggregation.mode) == ("one", "signed")
    assert (found.scale, found.compensate, found.rate) == ({"low": 3.0}, "mean", 0.3)
    _, found = used(*network, f"{key}={mine}", "attribution=taylor", "composite.preset=epsilon")
    assert (found.start, found.aggregation.normalize) == ("logit", "none")
    assert (found.composite, found.rate) == (PRESETS["epsilon"].composite, 0.25)


def test_an_experiment_does_not_replace_what_a_typed_recipe_says(
    mine: Path, network: list[str], tmp_path: Path
) -> None:
    own = tmp_path / "own" / "experiment"
    own.mkdir(parents=True)
    (own / "signed.yaml").write_text(
        "# @package _global_\nattribution: {aggregate: sum_of_abs}\nprune: {order: score, rate: 0.6}\n"
    )
    typed = [*network, "experiment=signed"]
    alone = compose("prune", typed, config_dir=str(own.parent))
    assert open_session(alone).recipe.aggregation.mode == "sum_of_abs"
    both = compose("prune", [*typed, f"recipe={mine}"], config_dir=str(own.parent))
    found = open_session(both).recipe
    assert (found.aggregation.mode, found.order, found.rate) == ("signed", "joint", 0.25)


@pytest.mark.parametrize("task", ["attribute", "prune", "evaluate", "compare", "export", "train", "studies"])
def test_every_task_takes_it(mine: Path, task: str) -> None:
    for key in ("recipe", "composite"):
        assert compose(task, [f"{key}={mine}"]).recipe == str(mine)
    with pytest.raises(XaipruneError, match="are two recipes; set one of them"):
        compose(task, [f"composite={mine}", "recipe=paper"])


def test_a_composite_alone_chooses_the_rules(network: list[str], tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text("schema: xaiprune/composite/1\ndefault: {rule: zplus}\n")
    for key in ("recipe", "composite"):
        config, found = used(*network, f"{key}={plain}")
        session = open_session(config)
        assert (config.recipe, config.composite.file) == ("auto", str(plain))
        auto = auto_recipe(session.model, session.units, session.example)
        assert found == replace(auto, composite=PRESETS["zplus"].composite, rate=0.5, units="filters")
    _, found = used(*network, "recipe=paper", f"composite={plain}")
    assert (found.composite, found.start, found.compensate) == (PRESETS["zplus"].composite, "one", "none")


def test_several_files_in_a_sweep(mine: Path, tmp_path: Path) -> None:
    other = shutil.copy(mine, tmp_path / "other.yaml")
    sweep = sweep_of("prune", [f"composite={mine},{other}"])
    assert [run.recipe for run in sweep.runs] == [str(mine), str(other)]
    assert f"composite.file={mine},{other}" in sweep.overrides
    assert prepare("prune", ["composite=epsilon"]) == ["composite=epsilon"]


@pytest.mark.parametrize(
    ("provenance", "message"),
    [
        ({"attribution": {"start": "two"}}, "provenance: start must be one of one, logit, contrast, got two"),
        (
            {"recipe": {"scale": {"low": 0}}},
            "provenance: scale must be factors above zero of depth groups or unit",
        ),
        ({"recipe": {"references": "few"}}, "provenance: references must be a whole number, got few"),
        ({"recipe": {"flavour": "sweet"}}, "provenance has the unknown entry 'flavour'"),
        ({"recipe": [1]}, "provenance.recipe is not a section"),
        ([1], "provenance is not a section"),
    ],
)
def test_a_recipe_that_cannot_be(tmp_path: Path, provenance: object, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump({"schema": "xaiprune/composite/1", "provenance": provenance}))
    with pytest.raises(XaipruneError, match=message) as refused:
        compose("prune", [f"composite={file}"])
    assert str(file) in str(refused.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(XaipruneError, match=r"composite\.file: no such file: nowhere\.yaml"):
        compose("prune", ["composite=nowhere.yaml"])


@pytest.mark.parametrize("inside", [True, False])
def test_a_search_tries_the_file_first(config: MakeConfig, tmp_path: Path, inside: bool) -> None:
    content = {
        "schema": "xaiprune/composite/1",
        "default": {"rule": "zplus"} if inside else {"rule": "epsilon", "epsilon": 5.0},
        "provenance": {"attribution": RECIPE},
    }
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    study = search(config(*few(2), f"composite={file}"))
    first = study.trials[0]
    assert first.user_attrs["preset"] == "mine.yaml"
    assert bool(first.params) is inside
    found = recipe_of(first)
    assert (found.start, found.aggregation.mode, found.aggregation.normalize) == ("contrast", "signed", "max")
    assert study.trials[1].user_attrs["preset"] == "auto"
    search(config(*few(3), f"composite={file}"))  # it is not tried again
    assert [t.user_attrs.get("preset") for t in study.trials].count("mine.yaml") == 1


@pytest.mark.parametrize("budget", ["params", "macs"])
def test_what_the_rate_counts_is_taken_along(config: MakeConfig, tmp_path: Path, budget: str) -> None:
    asked = config("prune.rate=0.4", f"prune.budget={budget}", *few(1))
    study = search(asked)
    file = save_trial(study, study.trials[0], tmp_path / "found.yaml")
    again = compose("prune", network_of(asked, f"recipe={file}"))
    session = open_session(again)
    plan, _ = configured_plan(again, session)
    assert (session.prune.budget, plan.budget) == (budget, budget)
    assert session.plan_key(plan) == study.trials[0].user_attrs["scores"][0]["plan"]
    typed = compose("prune", network_of(asked, f"recipe={file}", "prune.budget=units"))
    assert open_session(typed).prune.budget == "units"
