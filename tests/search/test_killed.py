"""Killed workers: what their trials come to."""

import multiprocessing
import os
import signal
from collections import Counter
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import FrozenTrial, Trial, TrialState

from tests.search.conftest import MakeConfig, few
from xaiprune.config import Config
from xaiprune.storage import stale
from xaiprune.study import Counts, batch, counts, load_study, open_search, open_study, search

# A fork of this process would take SQLite's open connections along, which loses what is written; the server
# has none, and its forks are spared the imports.
server = multiprocessing.get_context("forkserver")
server.set_forkserver_preload(["xaiprune.study"])


def running_trial(study: optuna.Study, run: str = "", **worker: Any) -> int:
    """A trial that somebody has begun."""
    trial = study.ask()
    stale.sign(trial, run)
    signed = {**trial.user_attrs[stale.WORKER], **worker}
    trial.set_user_attr(stale.WORKER, signed)
    return trial.number


@pytest.mark.filterwarnings("ignore:Heartbeat")
def test_whose_worker_is_gone(config: MakeConfig) -> None:
    study = open_study(open_search(config()))
    elsewhere = running_trial(study, host="another-machine", pid=1)
    dead = running_trial(study, pid=2**22 + 1)
    reborn = running_trial(study, born="an earlier boot 17")
    left = running_trial(study, "a run of this process that its storage has broken")
    unsigned = study.ask().number
    with stale.running() as name:
        alive = running_trial(study, name)
        assert stale.recover(study) == [dead, reborn, left]
    states = [trial.state for trial in study.trials]
    assert [states[n] for n in (alive, elsewhere, unsigned)] == [TrialState.RUNNING] * 3
    retried = [t.user_attrs for t in study.trials if stale.RETRY_OF in t.user_attrs]
    assert [attrs[stale.RETRY_OF] for attrs in retried] == [dead, reborn, left]
    assert all(stale.WORKER not in attrs for attrs in retried)
    assert retried[0]["preset"] == study.trials[dead].user_attrs["preset"]
    assert stale.recover(study) == [alive]  # its run has ended meanwhile


@pytest.mark.filterwarnings("ignore:Heartbeat")
def test_killed_before_it_could_sign(config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(open_search(config()))
    number = study.ask().number
    monkeypatch.setattr(stale, "GRACE_SECONDS", -1)
    assert stale.recover(study) == [number]


@pytest.mark.filterwarnings("ignore:Heartbeat")
def test_who_queues_it_again_is_killed_too(config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """joblib ends all workers when one dies, also the one that is just taking back its trial."""
    study = open_study(open_search(config()))
    dead = running_trial(study, pid=2**22 + 1)
    monkeypatch.setattr(stale, "retry", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        stale.recover(study)
    monkeypatch.undo()
    assert study.trials[dead].state is TrialState.FAIL
    assert stale.recover(study) == [dead]
    (again,) = [t for t in study.trials if t.user_attrs.get(stale.RETRY_OF) == dead]
    assert again.state is TrialState.WAITING
    assert stale.recover(study) == []
    failed = study.ask()
    stale.sign(failed, "")
    failed.set_user_attr(stale.REASON, "its own fault")
    study.tell(failed, state=TrialState.FAIL)
    assert stale.recover(study) == []


def _killed_in_its_third_trial(config: Config, moment: str) -> None:
    """Search until the third trial of this process, and kill it there."""
    torch.set_num_threads(1)
    begun = 0
    run, note = batch.run_trial, Trial.set_user_attr

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def deadly(*arguments: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == 3 and moment == "before measuring":
            kill()
        result = run(*arguments)
        if begun == 3 and moment == "after measuring":
            kill()
        return result

    def deadly_note(self: Trial, key: str, value: Any) -> None:
        note(self, key, value)
        if begun == 3 and moment == "while storing" and key == "scores":
            kill()

    batch.run_trial = deadly  # type: ignore[assignment]
    Trial.set_user_attr = deadly_note  # type: ignore[method-assign]
    search(config)


def finished_chain(trial: FrozenTrial, trials: list[FrozenTrial]) -> FrozenTrial:
    """The trial that was run in the end in place of one that was lost."""
    while trial.state is TrialState.FAIL:
        (trial,) = [t for t in trials if t.user_attrs.get(stale.RETRY_OF) == trial.number]
    return trial


def test_killed_ten_times(config: MakeConfig) -> None:
    """In the middle of a trial, at three moments of it; each in a process of its own."""
    wanted = config(*few(30))
    moments = ("before measuring", "after measuring", "while storing")
    for round_ in range(10):
        child = server.Process(target=_killed_in_its_third_trial, args=(wanted, moments[round_ % 3]))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL, f"round {round_}: {child.exitcode}"
        now = counts(load_study(wanted))
        assert now.done == 2 * (round_ + 1)  # nothing that had ended is lost
        assert now.running == 1
    study = search(wanted)
    assert counts(study) == Counts(done=30, running=0, failed=10, presets=8)
    trials = study.trials
    finished = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    assert max(Counter(str(trial.params) for trial in finished).values()) == 1
    assert all("scores" in trial.user_attrs for trial in finished)
    lost = [trial for trial in trials if trial.state is TrialState.FAIL]
    again = [finished_chain(trial, trials) for trial in lost]
    assert [trial.params for trial in again] == [trial.params for trial in lost]


def test_a_killed_search_goes_on_as_if_nothing_had_been(config: MakeConfig, tmp_path: Any) -> None:
    """Up to the kill all is the same as without it; what follows has seen one more (failed) trial."""
    wanted = config(*few(12))
    child = server.Process(target=_killed_in_its_third_trial, args=(wanted, "before measuring"))
    child.start()
    child.join()
    assert load_study(wanted).trials[2].state is TrialState.RUNNING
    study = search(wanted)
    (again,) = [t for t in study.trials if t.user_attrs.get(stale.RETRY_OF) == 2]
    untouched = search(config(*few(3), f"study.storage=sqlite:///{tmp_path}/untouched.db"))
    found = [study.trials[0], study.trials[1], again]
    assert [(t.params, t.value) for t in found] == [(t.params, t.value) for t in untouched.trials[:3]]
