"""The command line as people meet it: help, mistakes, sweeps, interruptions."""

import logging
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from xaiprune.cli import evaluate, prune
from xaiprune.cli.__main__ import main, tasks
from xaiprune.cli.common.application import prepare_process
from xaiprune.config import TASKS, Config, compose
from xaiprune.errors import XaipruneError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Tasks write below the current folder."""
    monkeypatch.chdir(tmp_path)
    yield
    GlobalHydra.instance().clear()


@pytest.fixture
def runs(monkeypatch):
    """Replaces the evaluate task; collects the configurations it is run with."""
    seen = []
    monkeypatch.setattr(evaluate, "run", seen.append)
    return seen


@pytest.mark.parametrize("typed", [[], ["--help"], ["-h"]])
def test_the_tasks_are_listed(typed, capsys):
    assert main(typed) == 0
    shown = capsys.readouterr().out
    for task in tasks():
        assert f"  {task} " in shown


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["search", "output_dir=/proc/out"], "output_dir"),
        (["search", "study.storage=sqlite:////proc/out/mine.db"], "study.storage"),
        (["prune", "output_dir=/proc/out"], "output_dir"),
        (["attribute", "output_dir=/proc/out"], "output_dir"),
        (["compare", "output_dir=/proc/out"], "output_dir"),
        (["train", "train.output=/proc/out/mine.safetensors"], "train.output"),
    ],
)
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no folder that nobody can write to")
def test_what_cannot_be_written_is_said_before_the_work(arguments, key, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"xaiprune: {key}: nothing can be written to /proc (")
    assert "\n" not in said


def test_help_is_quick_to_import():
    command = "import sys; from xaiprune.cli.__main__ import main; main([]); print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True)
    assert shown.stdout.splitlines()[-1] == "False"


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("xaiprune 0")


def test_an_unknown_task_names_the_closest(capsys):
    assert main(["evalute"]) == 2
    assert capsys.readouterr().err == "xaiprune: unknown task 'evalute'; did you mean 'evaluate'?\n"


@pytest.mark.parametrize("task", [task for task in tasks() if task != "demo"])
def test_every_task_has_help_and_hydras_cfg(task, capsys):
    assert main([task, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"xaiprune {task}:" in shown
    own = {item.name for item in fields(TASKS[task].schema)} - {item.name for item in fields(Config)}
    assert all(re.search(rf"^  {name}[. ]", shown, re.MULTILINE) for name in own)
    assert len(shown.splitlines()) < 60
    assert max(map(len, shown.splitlines()[3:])) <= 80  # above is an example of a command
    assert main([task, "--cfg", "job", "prune.rate=0.25", "model=resnet18"]) == 0
    shown = capsys.readouterr().out
    assert "rate: 0.25" in shown
    assert "name: resnet18" in shown


def test_a_mistake_is_one_line_and_status_2(runs, capsys):
    assert main(["evaluate", "prune.rat=0.3"]) == 2
    assert capsys.readouterr().err == "xaiprune: unknown key 'prune.rat'; did you mean 'prune.rate'?\n"
    assert not runs


def test_the_task_gets_the_typed_configuration(runs, tmp_path):
    assert main(["evaluate", "prune.rate=0.25", "model=resnet18", "model.kwargs.num_classes=3"]) == 0
    (config,) = runs
    assert config.prune.rate == 0.25
    assert config.model.name == "resnet18"
    assert config.model.kwargs == {"num_classes": 3}
    assert list(tmp_path.iterdir()) == []  # Hydra leaves nothing behind


def test_a_sweep_runs_every_combination(runs):
    assert main(["evaluate", "seed=3", "--multirun", "model=resnet18,digits_vgg", "prune.rate=0.1,0.2"]) == 0
    found = [(config.model.name, config.prune.rate, config.seed) for config in runs]
    assert found == [(name, rate, 3) for name in ("resnet18", "digits_vgg") for rate in (0.1, 0.2)]


def test_a_sweep_with_a_mistake_in_its_last_run_does_not_start(runs, capsys):
    assert main(["evaluate", "--multirun", "model=resnet18,resnet81"]) == 2
    assert "did you mean 'resnet18'" in capsys.readouterr().err
    assert not runs


def failing(error):
    def run(config):
        raise error

    return run


def test_an_error_inside_the_task_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "run", failing(XaipruneError("layer conv9 is not there")))
    assert main(["evaluate"]) == 2
    assert capsys.readouterr().err == "xaiprune: layer conv9 is not there\n"


def test_one_failure_does_not_stop_a_sweep(runs, capsys, monkeypatch):
    def run(config):
        runs.append(config.seed)
        if config.seed < 2:
            raise XaipruneError(f"no luck with {config.seed}")

    monkeypatch.setattr(evaluate, "run", run)
    assert main(["evaluate", "--multirun", "seed=0,1,2"]) == 2
    assert runs == [0, 1, 2]
    assert set(capsys.readouterr().err.splitlines()) == {
        "xaiprune: no luck with 0",
        "xaiprune: no luck with 1",
    }


def test_a_bug_is_not_dressed_up(monkeypatch):
    monkeypatch.setattr(evaluate, "run", failing(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        main(["evaluate"])


def test_interrupted(monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "run", failing(KeyboardInterrupt()))
    assert main(["evaluate"]) == 130
    assert capsys.readouterr().err == "xaiprune: interrupted\n"


def test_a_bare_search_says_how_to_search(capsys):
    assert main(["search"]) == 2
    captured = capsys.readouterr()
    assert "xaiprune search experiment=digits_resnet" in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_training_knows_no_studies(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "study.name=mine", "output_dir=small"]) == 2
    assert capsys.readouterr().err == "xaiprune: train takes a network, not a study: leave out study.name\n"
    assert list(tmp_path.iterdir()) == []


def test_prune_does_not_write_into_the_folder_of_a_study():
    default = compose("prune", ["model=resnet18", "prune.rate=0.3"])
    assert prune.output_folder(default, "filters") == Path("studies/resnet18-digits-filters-0.3/pruned")
    named = compose("prune", ["study.name=mine", "recipe=taylor"])
    assert prune.output_folder(named, "filters") == Path("studies/mine/pruned")
    given = compose("prune", ["output_dir=small"])
    assert prune.output_folder(given, "filters") == Path("small")


def test_a_sweep_ends_with_a_table(monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "run", lambda config: {"top-1": f"{100 - 100 * config.prune.rate:g} %"})
    assert main(["evaluate", "--multirun", "prune.rate=0.3,0.5", "seed=1"]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "prune.rate  top-1",
        "0.3         70 %",
        "0.5         50 %",
    ]


def test_what_torch_says_of_missing_gpus_is_not_shown() -> None:
    prepare_process(compose("evaluate", ["model=digits_resnet"]))
    assert not logging.getLogger("torch.utils.cpp_extension").isEnabledFor(logging.WARNING)
