"""Workers: several processes on one study, started by a Hydra launcher and led by the one that was typed.

The leading process creates the study, shows the trials of all workers, tells them to end on Ctrl-C, starts
them again if one was killed, and compares on the test split when all have ended.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError
from optuna.trial import TrialState
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from xaiprune.cli.common.search_display import Trials, setup_text
from xaiprune.cli.common.search_end import finish
from xaiprune.config import Config, Sweep
from xaiprune.errors import XaipruneError
from xaiprune.models import resolve_device
from xaiprune.storage import plain_errors, quiet, recover, storage_lock
from xaiprune.study import (
    counts,
    dense_accuracy,
    fitting_threads,
    graceful,
    open_search,
    open_study,
    run_trials,
    storage_url,
)
from xaiprune.trial import SearchSetup

log = logging.getLogger(__name__)
_POLL_SECONDS = 0.5
_FRUITLESS = 2  # starts without a trial that ended, until we give up
_STOP = "stop"  # a file of this name among the sweep's notes asks its workers to end
# These start workers on this machine, where starting them again costs nothing.
_LOCAL = ("basic", "joblib", "submitit_local")


def work(config: Config, notes: Path) -> None:
    """Run trials of an existing study until it is complete; prints nothing.

    Args:
        config: With the number of this worker.
        notes: The sweep's folder of notes.
    """
    setup = open_search(config)
    with fitting_threads(setup.session, config.threads):
        study = open_study(setup)
        run_trials(study, setup, flag=notes / _STOP)


def lead(sweep: Sweep, launch: Callable[[], None], notes: Path) -> None:
    """Run a sweep of workers from the first trial to the comparison.

    Args:
        sweep: Of ``xaiprune search``, each run a worker.
        launch: Starts all of its runs and waits for their end.
        notes: Folder of the files by which it and its workers communicate.

    Raises:
        KeyboardInterrupt: Ctrl-C; running trials have ended, or are queued again if it came twice.
        XaipruneError: Workers were killed repeatedly before a trial had ended.
    """
    console = Console(highlight=False, soft_wrap=True)
    led = [_Led.prepared(runs[0], len(runs), several=len(sweep.studies()) > 1) for runs in _by_study(sweep)]
    for study in led:
        study.show_setup(console)
    with graceful(notes / _STOP, leads=True) as stop:
        if any(study.missing for study in led):
            try:
                with _watched(led, console):
                    _launch(sweep, led, launch, lambda: stop.asked)
            except KeyboardInterrupt:
                stop.signalled = True
            for study in led:
                study.take_back(sweep.launcher in _LOCAL)
    if stop.asked:
        for study in led:
            console.print(study.progress("stopped: ", "; the same command continues from here"))
        raise KeyboardInterrupt
    for study in led:
        study.end(console)


@dataclass
class _Led:
    """A study that workers are working on."""

    config: Config
    setup: SearchSetup
    study: optuna.Study
    workers: int
    several: bool
    shown: set[int] = field(default_factory=set)

    @classmethod
    def prepared(cls, config: Config, workers: int, *, several: bool) -> _Led:
        """Create the study, or check that it is the same search; decode images and train what has to be."""
        config = replace(config, worker=None)
        # GPUs are the workers', and may be reserved for one process each.
        here = replace(config, device="cpu") if resolve_device(config.device).type == "cuda" else config
        setup = open_search(here)
        study = open_study(setup, leads=True)
        shown = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()}
        return cls(config, setup, study, workers, several, shown)

    @property
    def missing(self) -> int:
        """Trials that are still to be done."""
        return counts(self.study).left(self.config.study.n_trials)

    def show_setup(self, console: Console) -> None:
        """What is searched, and by how many."""
        dense = dense_accuracy(self.study, self.setup) if self._computes_here else None
        text = setup_text(self.setup, dense, self.study, storage_url(self.config))
        console.print(f"{text}\nworkers     {self.workers}", markup=False)

    def take_back(self, local: bool) -> None:
        """Queue the trials of killed workers again."""
        url = storage_url(self.config)
        with plain_errors(url), storage_lock(url), quiet():
            recover(self.study)
            if not local:
                optuna.storages.fail_stale_trials(self.study)

    def progress(self, before: str, after: str) -> str:
        """``before 7 of 20 sampled trials done after``."""
        name = f"{self.study.study_name}: " if self.several else ""
        return f"{name}{before}{counts(self.study).text(self.config.study.n_trials)}{after}"

    def end(self, console: Console) -> None:
        """Compare and save; with fewer trials than wanted say so first."""
        if self.missing:
            console.print(self.progress("the workers have ended: ", "; the same command continues from here"))
        if not self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            return  # each worker has said why
        setup = self.setup if self._computes_here else open_search(self.config)
        dense_accuracy(self.study, setup)
        with fitting_threads(setup.session, self.config.threads):
            finish(setup, self.study, storage_url(self.config), console)

    @property
    def _computes_here(self) -> bool:
        return self.setup.config.device == self.config.device


def _by_study(sweep: Sweep) -> Sequence[Sequence[Config]]:
    return list(sweep.studies().values())


def _launch(
    sweep: Sweep, led: Sequence[_Led], launch: Callable[[], None], stopped: Callable[[], bool]
) -> None:
    """Start the workers, and again if some were killed, unless two starts in a row brought no trial."""
    fruitless = 0
    while True:
        before = sum(study.missing for study in led)
        try:
            launch()
            return
        except BaseException as error:
            if stopped() and not isinstance(error, KeyboardInterrupt):
                return  # Ctrl-C reached a worker while it was starting
            if not _is_loss(error):
                raise
            for study in led:
                study.take_back(sweep.launcher in _LOCAL)
            missing = sum(study.missing for study in led)
            if not missing:
                return
            what = f"a worker was killed ({_line(error)})"
            if sweep.launcher not in _LOCAL:
                raise XaipruneError(
                    f"{what}; the others go on, {missing} trials are missing: run the same command again"
                ) from error
            fruitless = fruitless + 1 if missing >= before else 0
            if fruitless == _FRUITLESS:
                raise XaipruneError(f"{what} before a trial had ended; is there enough memory?") from error
            log.warning("%s; starting the workers again, %d trials are missing", what, missing)


def _is_loss(error: BaseException) -> bool:
    """Whether a launcher reports that a worker's process was killed."""
    if isinstance(error, BrokenProcessPool):  # joblib, and with it all other workers are killed
        return True
    submitit = sys.modules.get("submitit.core.utils")
    return submitit is not None and isinstance(error, submitit.UncompletedJobError)


@contextmanager
def _watched(led: Sequence[_Led], console: Console) -> Iterator[None]:
    """Show the trials of all workers until the block ends."""
    ended = threading.Event()
    threads = [
        threading.Thread(target=_watch, args=(study, console, ended), daemon=True, name="trials")
        for study in led
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _watch(led: _Led, console: Console, ended: threading.Event) -> None:
    heading = f"{led.study.study_name}  " if led.several else ""
    dense = dense_accuracy(led.study, led.setup) if "dense" in led.study.user_attrs else None
    with Trials(console, led.study, led.config.study.n_trials, dense, heading) as shown:
        while True:
            last = ended.wait(_POLL_SECONDS)
            try:
                _show_new(led, shown)
            except (OptunaError, SQLAlchemyError) as error:
                log.debug("no look at the trials: %s", error)  # the workers will report it
            if last:
                return


def _show_new(led: _Led, shown: Trials) -> None:
    trials = led.study.get_trials(deepcopy=False)
    new = [t for t in trials if t.state.is_finished() and t.number not in led.shown]
    done = counts(led.study).done
    for trial in sorted(
        new, key=lambda trial: (trial.datetime_complete or trial.datetime_start, trial.number)
    ):
        led.shown.add(trial.number)
        shown.add(trial, done)


def _line(error: BaseException) -> str:
    """The first sentence of an exception: launchers add pages."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).partition(". ")[0][:150]
