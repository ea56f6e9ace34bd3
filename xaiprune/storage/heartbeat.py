"""Signs of life of the trials that this process runs, as `stale` looks for them from other machines."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import optuna
from optuna.storages import BaseStorage
from optuna.trial import Trial
from sqlalchemy.exc import SQLAlchemyError

from xaiprune.storage.connect import has_heartbeats
from xaiprune.storage.private import trial_id

log = logging.getLogger(__name__)


@contextmanager
def beating(trials: Sequence[Trial]) -> Iterator[None]:
    """Record heartbeats of running trials until the block ends.

    ``Study.optimize`` would do it for one trial at a time; trials that are asked for together need their own.
    Storages that know no heartbeats (a journal file) get none.
    """
    storage = trials[0].storage
    if not has_heartbeats(storage):
        yield
        return
    interval = storage.get_heartbeat_interval()  # type: ignore[attr-defined]
    ended = threading.Event()
    ids = [trial_id(trial) for trial in trials]
    thread = threading.Thread(target=_beat, args=(storage, ids, interval, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(storage: BaseStorage, ids: Sequence[int], interval: float, ended: threading.Event) -> None:
    while True:
        for trial in ids:
            try:
                storage.record_heartbeat(trial)  # type: ignore[attr-defined]
            except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
                # The trial itself will meet the same trouble and report it; a missed beat is no end.
                log.debug("no heartbeat for trial id %d: %s", trial, error)
        if ended.wait(interval):
            return
