"""Trials whose worker has ended without finishing them: found, failed, and queued again with the same
parameters.

A worker that was killed leaves its trial RUNNING. On the same machine its process is looked up, so that a
restart continues at once; on other machines its heartbeat decides, after `GRACE_SECONDS` without one.
"""

from __future__ import annotations

import datetime
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

BEAT_SECONDS = 10
GRACE_SECONDS = 60
WORKER = "worker"
RETRY_OF = "retry_of"
REASON = "reason"  # why a trial failed by itself: such a trial is not run again
KEPT = ("preset", "outside_space", "given")  # what makes a trial what it is, beside its parameters


_mine: set[str] = set()  # this process's trials that are running


def sign(trial: Trial, run: str, number: int | None = None) -> None:
    """Note with a trial who runs it.

    Args:
        trial: Just asked for.
        run: As `running` names it.
        number: Of this process among the study's workers; None: it works alone.
    """
    signed: dict[str, Any] = {"pid": os.getpid(), **_machine(), "born": _born(os.getpid()), "run": run}
    trial.set_user_attr(WORKER, signed if number is None else {**signed, "number": number})


@contextmanager
def running() -> Iterator[str]:
    """A name for what this process runs until the block ends.

    A process outlives a run that its storage has broken, in a notebook for example; what is left of that run
    must not look alive.
    """
    run = uuid.uuid4().hex
    _mine.add(run)
    try:
        yield run
    finally:
        _mine.discard(run)


def recover(study: optuna.Study, *, unseen: bool = False) -> list[int]:
    """Fail the running trials whose worker has certainly ended, and queue them again.

    Whoever does this can be killed, too, after failing a trial and before queueing it; the next call queues
    it then. So call it under `storage_lock`, as everything that fails a trial and queues it again is.

    Args:
        study: Of any storage.
        unseen: Also those whose worker cannot be looked up from this machine; only where somebody knows
            that it has ended.

    Returns:
        Their numbers.
    """
    unfinished = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    abandoned = [trial for trial in unfinished if _has_ended(trial) or (unseen and not _can_be_seen(trial))]
    found = []
    # The study's own sampler must not take this for the end of one of its trials: a grid would stop.
    sampler, study.sampler = study.sampler, optuna.samplers.RandomSampler()
    try:
        for trial in abandoned:
            try:
                study.tell(trial.number, state=TrialState.FAIL)
            except (ValueError, UpdateFinishedTrialError):  # its worker, or another restart, was faster
                continue
            retry(study, trial)
            found.append(trial.number)
    finally:
        study.sampler = sampler
    for trial in _failed_and_not_queued(study):
        retry(study, trial)
        found.append(trial.number)
    return found


def _failed_and_not_queued(study: optuna.Study) -> list[FrozenTrial]:
    """Signed trials that failed without a reason of their own, and that nobody runs again."""
    trials = study.get_trials(deepcopy=False)
    queued = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    return [
        trial
        for trial in trials
        if trial.state is TrialState.FAIL
        and WORKER in trial.user_attrs
        and REASON not in trial.user_attrs
        and trial.number not in queued
    ]


def retry(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a failed trial again, with the same parameters.

    What its worker noted with it is not copied.
    """
    kept: dict[str, Any] = {key: trial.user_attrs[key] for key in KEPT if key in trial.user_attrs}
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            system_attrs=trial.system_attrs,
            user_attrs={**kept, RETRY_OF: trial.number},
        )
    )


def _has_ended(trial: FrozenTrial) -> bool:
    worker = trial.user_attrs.get(WORKER)
    if worker is None:
        # Killed between asking and signing: no heartbeat either, only its age tells.
        started = trial.datetime_start
        return started is not None and _age(started) > GRACE_SECONDS
    if not _can_be_seen(trial):
        return False
    if _born(worker["pid"]) != worker["born"]:
        return True
    return worker["pid"] == os.getpid() and worker.get("run") not in _mine


def _can_be_seen(trial: FrozenTrial) -> bool:
    """Whether a look at this machine's processes tells if the trial's worker lives."""
    worker = trial.user_attrs.get(WORKER)
    if worker is None or worker.get("born") is None:
        return False
    return {key: worker.get(key) for key in ("host", "namespace")} == _machine()


def _age(started: datetime.datetime) -> float:
    return (datetime.datetime.now() - started).total_seconds()


def _machine() -> dict[str, str]:
    """Where process numbers mean the same: containers can share a host's name."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return {"host": socket.gethostname(), "namespace": namespace}


def _born(pid: int) -> str | None:
    """When a process started: boot and clock ticks since; None where it is not running or cannot be seen."""
    try:
        # The command's name, in parentheses, may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] == "Z" else f"{boot} {fields[19]}"
