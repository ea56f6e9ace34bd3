"""Trials whose worker is gone: found, failed, and queued again with the same parameters.

A worker that was killed leaves its trial RUNNING. On the same machine its process is looked up, so that a
restart goes on at once; elsewhere its heartbeat tells, after `GRACE_SECONDS` without one.
"""

from __future__ import annotations

import datetime
import os
import socket
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

BEAT_SECONDS = 10
GRACE_SECONDS = 60
WORKER = "worker"
RETRY_OF = "retry_of"
KEPT = ("preset", "outside_space")  # what makes a trial what it is, beside its parameters


def sign(trial: Trial) -> None:
    """Note with a trial who runs it."""
    trial.set_user_attr(WORKER, {"pid": os.getpid(), **_machine(), "born": _born(os.getpid())})


def recover(study: optuna.Study) -> list[int]:
    """Fail the running trials whose worker is certainly gone, and queue them again.

    Returns:
        Their numbers.
    """
    gone = [t for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if _gone(t)]
    found = []
    # The study's own sampler must not take this for the end of one of its trials: a grid would stop.
    sampler, study.sampler = study.sampler, optuna.samplers.RandomSampler()
    try:
        for trial in gone:
            try:
                study.tell(trial.number, state=TrialState.FAIL)
            except (ValueError, UpdateFinishedTrialError):  # its worker, or another restart, was faster
                continue
            retry(study, trial)
            found.append(trial.number)
    finally:
        study.sampler = sampler
    return found


def retry(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a failed trial again, with the same parameters.

    What its worker noted with it stays behind.
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


def _gone(trial: FrozenTrial) -> bool:
    worker = trial.user_attrs.get(WORKER)
    if worker is None:
        # Killed between asking and signing: no heartbeat either, only its age tells.
        started = trial.datetime_start
        return started is not None and _age(started) > GRACE_SECONDS
    if {key: worker.get(key) for key in ("host", "namespace")} != _machine() or worker.get("born") is None:
        return False  # cannot be looked up from here
    return _born(worker["pid"]) != worker["born"]


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
