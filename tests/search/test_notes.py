"""What is noted with a study for reports: its network, and how it was run."""

from __future__ import annotations

import pytest

from xaiprune.cli import evaluate
from xaiprune.cli.__main__ import main
from xaiprune.config import CommandLine, compose, current_command_line
from xaiprune.study import network_of, notes, open_search, open_study
from xaiprune.study.notes import run_note
from xaiprune.trial import SearchSetup

from .conftest import MakeConfig


def test_layers_and_units_of_the_network(cnn: SearchSetup) -> None:
    network = network_of(open_study(cnn))
    assert network is not None
    assert network.layers == tuple(cnn.session.layers)
    assert network.units == {unit.name: unit.units for unit in cnn.session.units}


def test_every_way_a_study_was_run_once(config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = open_search(config())
    open_study(setup)
    study = open_study(setup)
    assert [run["overrides"] for run in study.user_attrs["runs"]] == [None]  # from Python
    typed = CommandLine("search", ("model=digits_resnet", "study.n_trials=30"))
    monkeypatch.setattr(notes, "current_command_line", lambda: typed)
    runs = open_study(setup).user_attrs["runs"]
    assert [run["overrides"] for run in runs] == [None, ["model=digits_resnet", "study.n_trials=30"]]
    assert runs[-1]["config"]["data"]["reference_per_class"] == 1
    # Another task opens the study, too, but does not make it.
    monkeypatch.setattr(notes, "current_command_line", lambda: CommandLine("compare", ("study.name=test",)))
    assert open_study(setup).user_attrs["runs"] == runs


def test_no_more_than_ten_are_kept(config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = open_search(config())
    for number in range(12):
        typed = CommandLine("search", (f"study.n_trials={number}",))
        monkeypatch.setattr(notes, "current_command_line", lambda typed=typed: typed)
        study = open_study(setup)
    noted = [run["overrides"] for run in study.user_attrs["runs"]]
    assert noted == [[f"study.n_trials={number}"] for number in range(2, 12)]


def test_no_password_is_noted() -> None:
    url = "postgresql://me:secret@host/studies"
    typed = CommandLine("search", (f"study.storage={url}", "study.name=one", f"++study.storage='{url}'"))
    noted = run_note(compose("search", typed.overrides[:2]), "cpu", typed)
    assert "secret" not in str(noted)
    assert noted["config"]["study"]["storage"] == "postgresql://me:***@host/studies"
    assert noted["overrides"][0] == "study.storage=postgresql://me:***@host/studies"


def test_what_was_typed_is_known_inside_a_task(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[CommandLine | None] = []
    monkeypatch.setattr(evaluate, "run", lambda config: seen.append(current_command_line()))
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text("# @package _global_\nprune: {rate: 0.3}\n")
    assert main(["evaluate", "experiment=own", "seed=3", "--config-dir", str(tmp_path / "mine")]) == 0
    assert seen == [CommandLine("evaluate", ("experiment=own", "seed=3"), str(tmp_path / "mine"))]


def test_nothing_was_typed_in_python() -> None:
    assert current_command_line() is None
