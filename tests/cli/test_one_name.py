"""``xaiprune TASK NAME``: network, images, units and recipe of a study that a search has made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.search.conftest import few
from xaiprune.cli import attribute, evaluate, prune
from xaiprune.cli.__main__ import main
from xaiprune.config import Config, compose
from xaiprune.pruning import load_pruned_plan
from xaiprune.recipe import load_recipe
from xaiprune.study import RUNS, best_recipe, best_trial, counts, load_study

TASKS = {"prune": prune, "evaluate": evaluate, "attribute": attribute}


@pytest.fixture
def taken(monkeypatch) -> list[Config]:
    """The configurations that tasks would run with."""
    found: list[Config] = []
    for module in TASKS.values():
        monkeypatch.setattr(module, "run", found.append)
    return found


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("named", ["one", "study.name=one"])
def test_all_is_the_studys(task, named, searched, taken, capsys):
    further = ["faithfulness=true"] if task == "evaluate" else []
    assert main([task, named, *further]) == 0
    (config,) = taken
    study = load_study(compose("report", ["study.name=one"]))
    noted = study.user_attrs[RUNS][-1]["config"]
    assert Path(config.model.checkpoint).name == noted["model"]["checkpoint"]  # from the search's folder
    assert config.data.reference_per_class == noted["data"]["reference_per_class"]
    assert (config.units.kind, config.prune.rate) == ("inner_filters", 0.4)
    assert load_recipe(config.recipe) == best_recipe(study)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("from study 'one': digits_resnet, digits, inner_filters, rate 0.4; recipe of ")
    assert f"trial {best_trial(study).number} (" in line


@pytest.mark.parametrize("task", ["prune", "compare", "export", "search"])
def test_the_settings_shown_are_the_studys(task, searched, capsys):
    typed = ["study.name=one"] if task == "search" else ["one"]
    assert main([task, *typed, "prune.min_units=2", "--cfg", "job"]) == 0
    shown = capsys.readouterr().out
    config = yaml.safe_load(shown)
    assert config["model"]["name"] == "digits_resnet"
    assert Path(config["model"]["checkpoint"]).name == "weights.safetensors"
    assert (config["units"]["kind"], config["prune"]["rate"]) == ("inner_filters", 0.4)
    assert config["prune"]["min_units"] == 2
    if task == "prune":
        assert config["recipe"] == "studies/one/best.yaml" or not Path("studies/one/best.yaml").is_file()
        assert shown.startswith("# from study 'one': ")


def test_the_settings_of_a_study_that_is_not_there(searched, capsys):
    assert main(["prune", "two", "--cfg", "job"]) == 2
    assert "no study there" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["prune", "attribute", "evaluate"])
def test_other_weights_or_images_are_said_in_one_line(task, searched, capsys, monkeypatch):
    monkeypatch.setattr("xaiprune.session.outcome._SECONDS", 0.01)
    further = ["output_dir=out", *(["attribute.heatmaps=0"] if task == "attribute" else [])]
    assert main([task, "one", *further]) == 0
    assert "searched with" not in capsys.readouterr().err
    study = load_study(compose("report", ["study.name=one"]))
    noted = study.user_attrs["fingerprint"]
    noted["model"]["weights"], noted["data"]["test"] = "0123456789abcdef", "7 images (0123456789abcdef)"
    study.set_user_attr("fingerprint", noted)
    assert main([task, "one", *further]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "searched with" in line]
    assert line == (
        "xaiprune: the weights and the test images are not those that study 'one' was searched with; "
        "what it found may not hold for them"
    )
    assert (
        main([task, "one", *further, "model.checkpoint=weights.safetensors", "data.reference_per_class=1"])
        == 0
    )
    assert "searched with" not in capsys.readouterr().err  # both were typed


def test_what_is_typed_goes_first(searched, taken, capsys):
    assert main(["prune", "one", "prune.rate=0.2", "recipe=taylor", "output_dir=small"]) == 0
    (config,) = taken
    assert (config.prune.rate, config.recipe, config.output_dir) == (0.2, "taylor", "small")
    assert config.model.kwargs  # the study's network
    line = capsys.readouterr().out
    assert "rate 0.2 (typed: prune.rate)" in line
    assert "recipe of" not in line


def test_a_recipe_and_a_new_name_name_the_folder(searched, taken):
    assert main(["prune", *searched, "recipe=taylor", "study.name=new"]) == 0
    assert taken[0].output_dir == "studies/new"


def test_one_name_prunes_what_the_search_found(searched, monkeypatch):
    monkeypatch.setattr("xaiprune.session.outcome._SECONDS", 0.01)
    assert main(["export", "one", "export.plan=true"]) == 0
    assert main(["prune", "one"]) == 0  # the folder holds other things by now
    plan = load_pruned_plan("studies/one/pruned")
    assert Path("studies/one/best.yaml").read_text().count(plan.hash) == 1


def test_a_search_goes_on_as_it_was(searched, monkeypatch, capsys):
    monkeypatch.setattr("xaiprune.cli.search.finish", lambda *_: None)
    study = load_study(compose("report", ["study.name=one"]))
    study.set_user_attr(RUNS, [{**run, "folder": str(Path.cwd())} for run in study.user_attrs[RUNS]])
    before = counts(study)
    assert main(["search", "study.name=one", f"study.n_trials={before.sampled + 1}"]) == 0
    shown = capsys.readouterr().out
    assert re.match(rf"from study 'one': digits_resnet, .*, {before.sampled + 1} trials\n", shown)
    study = load_study(compose("report", ["study.name=one"]))
    assert counts(study).sampled == before.sampled + 1
    typed = {text.lstrip("+") for text in study.user_attrs[RUNS][-1]["overrides"]}
    assert {*searched, "study.name=one"} < typed  # the command that is noted still makes the whole study


@pytest.mark.parametrize(
    ("typed", "differs"),
    [
        ("prune.rate=0.3", "prune.rate was 0.4, now 0.3"),
        ("units=filters", "units.kind was inner_filters"),
    ],
)
def test_a_setting_that_is_typed_and_differs_is_refused(typed, differs, searched, capsys):
    assert main(["search", "study.name=one", typed, *few(9)]) == 2
    assert differs in capsys.readouterr().err


def test_a_study_without_notes_of_its_set_up(make_study, capsys):
    make_study("old", ("taylor", 0.9, "a"))
    assert main(["prune", "old"]) == 2
    assert "type its network and images as well" in capsys.readouterr().err
