"""A recipe is one thing: what a search found is pruned, exported and compared as it was searched."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import xaiprune as xp
from tests.cli.conftest import FINGERPRINT
from xaiprune.cli.__main__ import main
from xaiprune.config import compose
from xaiprune.pruning import Plan, load_pruned_plan
from xaiprune.recipe import load_recipe
from xaiprune.session import open_session
from xaiprune.study import load_study, save_best, whole_recipe

JOINT = ("prune.order=joint", "prune.compensate=linear", "prune.sequential=false", "prune.rounds=2")
NOT_TYPED = ("units=", "prune.", "recipe=")
FEW = ["compare.rates=[0,0.4]", "compare.presets=[epsilon]", "compare.criteria=[taylor]", "compare.seeds=1"]


def test_a_best_of_a_joint_study(
    searched: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xaiprune.session.outcome._SECONDS", 0.01)
    monkeypatch.setattr("xaiprune.cli.search.finish", lambda *_: None)
    assert main(["search", *searched, *JOINT, "study.name=joint", "study.n_trials=3"]) == 0
    # Trial 0 is auto's, which has an order and a compensation of its own.
    asked = ["export.trial=1", "export.plan=true", "export.pruned=true"]
    assert main(["export", "study.name=joint", *asked]) == 0
    file, plan = Path("studies/joint/trial-1.yaml"), Plan.load("studies/joint/trial-1.plan.json")
    stored = yaml.safe_load(file.read_text())
    assert plan.hash == stored["provenance"]["plan"]
    for key, value in (("order", "joint"), ("compensate", "linear"), ("sequential", False), ("rounds", 2)):
        assert stored[key] == value
    assert (stored["scope"], stored["rate"], stored["units"]) == ("global", 0.4, "inner_filters")
    assert load_pruned_plan("studies/joint/trial-1-pruned") == plan

    # Nothing of the recipe is typed, with either key.
    network = [word for word in searched if not word.startswith(NOT_TYPED)]
    for key, folder in (("recipe", "again"), ("composite", "again-2")):
        capsys.readouterr()
        assert main(["prune", *network, f"{key}={file}", f"output_dir={folder}"]) == 0
        assert load_pruned_plan(folder) == plan
        shown = capsys.readouterr().out
        assert re.search(
            r"^recipe +trial-1\.yaml: .*order joint; compensate linear, at once; 2 rounds$", shown, re.M
        )
        assert "order: joint" in Path(folder, "card.md").read_text()
    assert main(["export", *network, f"recipe={file}", "export.plan=true"]) == 0
    assert Plan.load("studies/joint/trial-1.plan.json") == plan

    # What is typed goes before the file.
    typed = ["prune.order=score", "prune.rounds=1", "prune.rate=0.3"]
    session = open_session(compose("prune", [*network, f"recipe={file}", *typed]))
    assert (session.prune.order, session.prune.rounds, session.prune.rate) == ("score", 1, 0.3)
    assert (session.prune.compensate, session.prune.sequential) == ("linear", False)

    # And from Python, with the file or with the study.
    config = compose("search", [*searched, *JOINT, "study.name=joint"])
    opened = open_session(config)
    study = load_study(config)
    assert load_recipe(file) == whole_recipe(study, study.trials[1])
    for recipe in (file, whole_recipe(study, study.trials[1])):
        outcome = xp.prune(opened.model, opened.dataset, recipe=recipe)
        assert outcome.plan == plan

    assert main(["compare", *network, f"recipe={file}", *FEW, "output_dir=compared"]) == 0
    table = pd.read_csv(f"compared/{Path(file).stem}/comparison.csv")
    best = table[(table.kind == "best") & (table.part == "target")]
    assert (best.method.item(), best.rate.item()) == ("trial-1.yaml", 0.4)


def test_a_study_knows_its_recipe_when_the_file_is_gone(
    searched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xaiprune.cli.search.finish", lambda *_: None)
    words = [word for word in searched if not word.startswith(("prune.", "recipe="))]
    xp.save_recipe("mine.yaml", replace(xp.PRESETS["zplus"], order="joint", compensate="mean", rate=0.4))
    assert main(["search", *words, "recipe=mine.yaml", "study.name=two", "study.n_trials=2"]) == 0
    study = load_study(compose("search", [*words, "study.name=two"]))
    assert [trial.user_attrs["preset"] for trial in study.trials[:2]] == ["mine.yaml", "auto"]
    Path("mine.yaml").unlink()
    assert main(["export", "study.name=two", "export.plan=true"]) == 0
    assert main(["export", "study.name=two", "export.trial=0"]) == 0
    found = load_recipe("studies/two/trial-0.yaml")
    assert (found.order, found.compensate, found.units) == ("joint", "mean", "inner_filters")


def test_a_file_of_a_thousand_classes_is_short(make_study: Any, tmp_path: Path) -> None:
    study = make_study("one", ("attnlrp_gamma", 0.9, "a"))
    names = [f"n{number:08}" for number in range(1000)]
    study.set_user_attr("fingerprint", {**FINGERPRINT, "data": {**FINGERPRINT["data"], "classes": names}})
    text = save_best(study, tmp_path).read_text()
    assert len(text.splitlines()) < 60
    assert names[3] not in text
    assert re.search(r"classes: 1000 classes \([0-9a-f]{16}\)", text)
    assert list(yaml.safe_load(text))[-1] == "provenance"


def test_the_output_is_named_after_the_units(
    searched: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xaiprune.session.outcome._SECONDS", 0.01)
    network = [word for word in searched if not word.startswith(NOT_TYPED)]
    assert main(["prune", *network]) == 0
    shown = capsys.readouterr().out
    assert "studies/digits_resnet-digits-inner_filters-0.5" in shown
    assert re.search(r"^recipe +auto: .*compensate linear, at once; BatchNorm recalibrated$", shown, re.M)
