"""The demo: the search task with overrides, and nothing that cannot be typed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from xaiprune.cli import demo
from xaiprune.config import compose
from xaiprune.errors import XaipruneError


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(demo, "run_task", lambda task, overrides: found.append((task, list(overrides))))
    return found


def test_runs_the_search_task_twice(
    runs: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main([]) == 0
    assert [task for task, _ in runs] == ["search", "search"]
    for (_, overrides), study in zip(runs, demo.STUDIES, strict=True):
        config = compose("search", overrides)
        assert config.study.name == study.name
        assert config.study.n_trials == 12
        assert config.output_dir == str(study.folder)
    assert capsys.readouterr().out.count("curves.png") == 2


def test_the_commands_to_try_next_compose(tmp_path: Path) -> None:
    commands = [line for line in demo.closing(60).splitlines() if " search " in line]
    assert len(commands) == 3
    for command in commands:
        _, task, *overrides = shlex.split(command.replace("FOLDER", str(tmp_path)))
        compose(task, overrides)


def test_fewer_trials_can_be_asked_for_and_nothing_else(
    runs: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(["study.n_trials=3"]) == 0
    assert all(overrides[-1] == "study.n_trials=3" for _, overrides in runs)
    with pytest.raises(XaipruneError, match=r"demo takes study\.n_trials=N only, got 'prune\.rate=0\.3'"):
        demo.main(["prune.rate=0.3"])
    runs.clear()
    assert demo.main(["--help"]) == 0
    assert not runs
