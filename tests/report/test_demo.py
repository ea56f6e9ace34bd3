"""The demo: the search task with overrides, and nothing that cannot be typed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from xaiprune.cli import demo
from xaiprune.cli.common.flags import spelled_out
from xaiprune.config import compose
from xaiprune.errors import XaipruneError


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(demo, "run_task", lambda task, overrides: found.append((task, list(overrides))))
    return found


def study_of(step: demo.Step) -> str:
    return step.overrides[-1].removeprefix("study.name=")


def test_runs_the_search_task_twice(
    runs: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main([]) == 0
    assert [task for task, _ in runs] == ["search", "search"]
    for (_, overrides), step in zip(runs, demo.DIGITS, strict=True):
        config = compose("search", overrides)
        assert config.study.name == study_of(step)
        assert config.study.n_trials == 12
        assert config.output_dir == str(step.picture[0].parent)
    assert capsys.readouterr().out.count("curves.png") == 2


def test_language_is_attributed_then_searched(
    runs: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(["language", "study.n_trials=3"]) == 0
    (attribute, typed), (search, overrides) = runs
    assert (attribute, search) == ("attribute", "search")
    compose(attribute, spelled_out(attribute, typed))
    config = compose(search, overrides)
    assert (config.study.n_trials, config.units.kind) == (3, "neurons")
    assert compose(search, demo.LANGUAGE[1].overrides).study.n_trials == 30
    printed = capsys.readouterr().out
    assert "tokens.html" in printed
    assert "curves.png" in printed


@pytest.mark.parametrize("steps", [demo.DIGITS, demo.LANGUAGE], ids=["digits", "language"])
def test_the_commands_to_try_next_compose(steps: tuple[demo.Step, ...], tmp_path: Path) -> None:
    commands = [line for line in demo.closing(steps, 60).splitlines() if " search " in line]
    assert len(commands) == 3
    (tmp_path / "text").touch()
    for command in commands:
        command = command.replace("FOLDER", str(tmp_path)).replace("FILE", str(tmp_path / "text"))
        _, task, *overrides = shlex.split(command)
        compose(task, overrides)


def test_fewer_trials_can_be_asked_for_and_nothing_else(
    runs: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(["study.n_trials=3"]) == 0
    assert all(overrides[-1] == "study.n_trials=3" for _, overrides in runs)
    with pytest.raises(
        XaipruneError, match=r"demo takes 'language' and study\.n_trials=N only, got 'prune\.rate=0\.3'"
    ):
        demo.main(["prune.rate=0.3"])
    runs.clear()
    assert demo.main(["--help"]) == 0
    assert not runs
