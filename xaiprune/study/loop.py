"""Trials until the study has as many as wanted.

``Study.optimize`` is not used, for three reasons. Trials that are asked for together share one forward
of the reference images (``search.batch``); ``n_trials`` is what all workers want together, so asking has to
be counted under a lock; and an interrupted trial is queued again with its parameters, which
``optimize`` would report as failed. Everything else is Optuna's ask and tell.
"""

from __future__ import annotations

import logging
import time
from enum import Enum
from pathlib import Path

import optuna
from optuna.samplers import GridSampler
from optuna.trial import TrialState

from xaiprune.storage import beating, plain_errors, quiet, recover, require_file, running, sign, storage_lock
from xaiprune.study.batch import Asked, Batch, OnTrial
from xaiprune.study.interrupt import Stop, graceful
from xaiprune.study.sampler import make_sampler
from xaiprune.study.stored import storage_url
from xaiprune.study.trials import counts
from xaiprune.trial import SearchSetup

log = logging.getLogger(__name__)
_POLL_SECONDS = 1.0


class Ending(Enum):
    """Why no further trials are run."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    TIMEOUT = "timeout"
    EXHAUSTED = "exhausted"


def run_trials(
    study: optuna.Study, setup: SearchSetup, on_trial: OnTrial | None = None, *, flag: Path | None = None
) -> Ending:
    """Run trials until presets and ``study.n_trials`` further ones are done.

    Args:
        study: As `open_study` gives it.
        setup: What all trials share.
        on_trial: Called with each trial that ends here and the number of trials done so far.
        flag: This process is one of several workers; a file of this name tells them to end.

    Returns:
        Why it ended. On Ctrl-C the running trial is finished first.

    Raises:
        XaipruneError: Three trials failed in a row, or the storage broke.
        KeyboardInterrupt: Ctrl-C came twice; the running trial is queued again.
    """
    with plain_errors(storage_url(setup.config)), quiet(), graceful(flag) as stop, running() as name:
        return _Loop(study, setup, Batch(study, setup, on_trial), stop, name).run()


class _Loop:
    """Asks for trials and runs them until there is a reason to end."""

    def __init__(self, study: optuna.Study, setup: SearchSetup, batch: Batch, stop: Stop, name: str) -> None:
        self._study, self._setup, self._batch, self._stop, self._name = study, setup, batch, stop, name
        limit = setup.config.study.timeout
        self._deadline = None if limit is None else time.monotonic() + limit

    def run(self) -> Ending:
        waited, batch = False, self._batch
        while True:
            if (ending := self._take()) is not None:
                return ending
            if not batch.asked:
                if not waited and self._stop.flag is None:  # the leader of workers shows the trials
                    log.info("waiting for %d trials that run elsewhere", counts(self._study).running)
                waited = True
                time.sleep(_POLL_SECONDS)
                continue
            try:
                with beating([asked.trial for asked in batch.asked]):
                    batch.run(lambda: self._stop.asked or self._late())
            finally:
                batch.queue_again()

    def _take(self) -> Ending | None:
        """Take the next trials, as many as are missing; returns why there are none, if that is final.

        One process at a time: with SQLite, Optuna would hand the same queued trial to two that ask at once,
        and on any storage both would see the same number of missing trials and take too many.
        """
        config = self._setup.config
        with storage_lock(storage_url(config)):
            require_file(storage_url(config))
            optuna.storages.fail_stale_trials(self._study)
            for number in recover(self._study):
                log.info("trial %d was not finished by its worker, which has ended; it is run again", number)
            now = counts(self._study)
            left = now.left(config.study.n_trials)
            if not left:
                return Ending.COMPLETE
            if self._stop.asked:
                return Ending.INTERRUPTED
            if self._late():
                return Ending.TIMEOUT
            if left <= now.running:
                return None
            self._ask(min(config.search.batch, left - now.running))
            return None if self._batch.asked else Ending.EXHAUSTED

    def _ask(self, number: int) -> None:
        for _ in range(number):
            self._set_sampler()
            if self._exhausted():
                break
            asked = Asked(self._study.ask())
            self._batch.asked.append(asked)
            sign(asked.trial, self._name, self._setup.config.worker)

    def _set_sampler(self) -> None:
        """A sampler for the next trial, whose seed depends on how many there are."""
        config = self._setup.config
        trials = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = make_sampler(
            config.sampler, self._setup.space, config.seed, trials, config.worker
        )

    def _exhausted(self) -> bool:
        """Whether a grid has no point left, and nothing is queued either."""
        sampler = self._study.sampler
        if not isinstance(sampler, GridSampler):
            return False
        queued = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return not queued and sampler.is_exhausted(self._study)

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline
