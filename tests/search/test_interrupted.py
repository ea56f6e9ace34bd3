"""Ctrl-C: once, twice, and by a flag."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.search.conftest import MakeConfig, few
from xaiprune.session import PruningSession
from xaiprune.storage import stale
from xaiprune.study import Ending, counts, open_search, open_study, run_trials


def test_ctrl_c_ends_after_the_trial(config: MakeConfig) -> None:
    setup = open_search(config(*few(8)))
    study = open_study(setup)
    before = signal.getsignal(signal.SIGINT)

    def press(trial: Any, done: int) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    assert run_trials(study, setup, press) is Ending.INTERRUPTED
    assert counts(study).done == 3
    assert counts(study).failed == 0
    assert signal.getsignal(signal.SIGINT) is before
    assert run_trials(study, setup) is Ending.COMPLETE


def test_ctrl_c_twice_ends_at_once(config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = open_search(config(*few(8)))
    study = open_study(setup)
    accuracy = PruningSession.accuracy
    calls: list[int] = []

    def press(self: PruningSession, *rest: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return accuracy(self, *rest, **options)

    monkeypatch.setattr(PruningSession, "accuracy", press)
    with pytest.raises(KeyboardInterrupt):
        run_trials(study, setup)
    cut_off = next(trial for trial in study.trials if trial.state is TrialState.FAIL)
    monkeypatch.undo()
    assert run_trials(study, setup) is Ending.COMPLETE
    (again,) = [t for t in study.trials if t.user_attrs.get(stale.RETRY_OF) == cut_off.number]
    assert again.params == cut_off.params
    assert again.user_attrs["preset"] == cut_off.user_attrs["preset"]


def test_a_worker_looks_for_the_flag_and_leaves_ctrl_c_alone(config: MakeConfig, tmp_path: Path) -> None:
    setup = open_search(config(*few(8), "worker=1"))
    study = open_study(setup)
    flag = tmp_path / "stop"

    def press(trial: Any, done: int) -> None:
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)  # the terminal's, to all processes
        if done == 4:
            flag.touch()

    assert run_trials(study, setup, press, flag=flag) is Ending.INTERRUPTED
    assert counts(study).done == 4
    assert study.trials[0].user_attrs[stale.WORKER]["number"] == 1
