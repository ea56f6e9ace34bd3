"""``composite=FILE``: what a study found, taken along to the other tasks, on its network and on others."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.search.conftest import MakeConfig, few
from xaiprune.cli import export
from xaiprune.cli.common.pruning import configured_plan
from xaiprune.config import Config, compose, prepare, search_conditions, sweep_of
from xaiprune.errors import XaipruneError
from xaiprune.recipe import configured_recipe
from xaiprune.session import open_session
from xaiprune.study import recipe_of, search

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
        file = export.export(study, trial, tmp_path / f"{trial.number}.yaml")
        used = compose("prune", network_of(asked, f"composite={file}", "prune.rate=0.4"))
        assert configured_recipe(used).composite == recipe_of(trial).composite
        plan = configured_plan(used, open_session(used))
        assert plan.hash == trial.user_attrs["scores"][0]["plan"].split()[0]
        hashes.add(plan.hash)
        prune = used.prune
        kinds.add((prune.scope, prune.compensate, prune.sequential, prune.order, prune.rounds))
    assert len(hashes) > 8
    assert len(kinds) > 4


def test_on_another_network_of_the_family(config: MakeConfig, tmp_path: Path, session_cache: str) -> None:
    study = search(config(*few(8)))
    trial = next(t for t in study.trials if t.user_attrs.get("preset") == "alpha2beta1_first")
    file = export.export(study, trial, tmp_path / "found.yaml")
    other = compose(
        "prune",
        [
            *("model=resnet18", "model.kwargs.num_classes=10", "model.kwargs.in_chans=3"),
            *(f"composite={file}", f"data.cache_dir={session_cache}", "data.image_size=32"),
            *("data.reference_per_class=1", "data.label_space=folders", "units=inner_filters", "device=cpu"),
        ],
    )
    session = open_session(other)
    rules = configured_recipe(other).composite.resolve(session.layers)
    assert [rules[name].name for name in ("conv1", "layer3.0.conv1", "layer4.1.conv2")] == [
        *("alphabeta", "zplus", "epsilon")
    ]
    plan = configured_plan(other, session)
    assert (plan.n_units, plan.n_removed) == (1920, 960)  # ResNet-18's inner filters


def test_the_file_brings_its_recipe_unless_typed(mine: Path) -> None:
    found = compose("prune", [f"composite={mine}"])
    assert found.composite.file == str(mine)
    assert {key: getattr(found.attribution, key) for key in RECIPE} == RECIPE
    assert (found.attribution.scale, found.attribution.references) == ({"low": 2.0}, 3)
    assert (found.prune.compensate, found.prune.rate, found.prune.scope) == ("linear", 0.25, "global")
    assert found.prune.order == "joint"
    typed = ["attribution.start=one", "attribution.scale.low=3", "prune={compensate: mean}"]
    found = compose("prune", [f"composite={mine}", *typed])
    assert (found.attribution.start, found.attribution.aggregate) == ("one", "signed")
    assert (found.attribution.scale, found.prune.compensate) == ({"low": 3.0}, "mean")
    whole = compose("prune", [f"composite={mine}", "attribution=taylor"])
    assert (whole.attribution.start, whole.attribution.normalize) == ("logit", "none")
    assert whole.prune.rate == 0.25


@pytest.mark.parametrize("task", ["attribute", "prune", "evaluate", "compare", "export", "train", "studies"])
def test_every_task_takes_it(mine: Path, task: str) -> None:
    assert compose(task, [f"composite={mine}"]).attribution.start == "contrast"


def test_several_files_in_a_sweep(mine: Path, tmp_path: Path) -> None:
    other = shutil.copy(mine, tmp_path / "other.yaml")
    sweep = sweep_of("prune", [f"composite={mine},{other}"])
    assert [run.composite.file for run in sweep.runs] == [str(mine), str(other)]
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
        ({"recipe": {"references": "few"}}, "provenance: references must be at least 1"),
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
    assert study.trials[1].user_attrs["preset"] == "taylor"
    search(config(*few(3), f"composite={file}"))  # it is not tried again
    assert [t.user_attrs.get("preset") for t in study.trials].count("mine.yaml") == 1


def test_other_conditions_than_the_search_had_are_told(
    config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    searched = ("prune.rate=0.4", "prune.order=joint", *few(1))
    asked = config(*searched)
    study = search(asked)
    file = export.export(study, study.trials[0], tmp_path / "found.yaml")
    assert search_conditions(file) == {"order": "joint", "compensate": "none", "rounds": 1}
    for typed, expected in (
        (["prune.order=joint"], []),
        ([], [f"{file} was searched with prune.order=joint; here it is order score"]),
        (
            ["prune.order=joint", "prune.rounds=2"],
            [f"{file} was searched with prune.rounds=1; here it is rounds 2"],
        ),
    ):
        caplog.clear()
        used = compose("prune", network_of(asked, f"composite={file}", "prune.rate=0.4", *typed))
        plan = configured_plan(used, open_session(used))
        assert [
            record.getMessage() for record in caplog.records if "searched" in record.getMessage()
        ] == expected
        same = plan.hash == study.trials[0].user_attrs["scores"][0]["plan"].split()[0]
        assert same is (not expected)


def test_a_plain_composite_says_nothing_of_conditions(mine: Path, tmp_path: Path) -> None:
    assert search_conditions(mine) == {}
    plain = tmp_path / "plain.yaml"
    plain.write_text("schema: xaiprune/composite/1\ndefault: {rule: zplus}\n")
    assert search_conditions(plain) == {}
