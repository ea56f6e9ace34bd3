"""Trials, one after the other, until the study has as many as wanted."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from enum import Enum

import optuna
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from xaiprune.attribute import PRESETS
from xaiprune.errors import XaipruneError
from xaiprune.search import stale
from xaiprune.search import trial as one_trial
from xaiprune.search.context import Context
from xaiprune.search.interrupt import Stop, graceful
from xaiprune.search.known import Known
from xaiprune.search.proposal import Proposal
from xaiprune.search.sampler import make_sampler
from xaiprune.search.storage import plain_errors, quiet
from xaiprune.search.study import counts, storage_url
from xaiprune.search.suggest import suggest

log = logging.getLogger(__name__)
FAILURES_IN_A_ROW = 3
_POLL_SECONDS = 1.0

OnTrial = Callable[[FrozenTrial, int], None]


class Ending(Enum):
    """Why no further trials are run."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    TIMEOUT = "timeout"
    EXHAUSTED = "exhausted"


class TrialFailed(Exception):
    """A trial has no value; the study goes on."""


def run_trials(study: optuna.Study, context: Context, on_trial: OnTrial | None = None) -> Ending:
    """Run what is missing of ``study.n_trials``.

    Args:
        study: As `open_study` gives it.
        context: What all trials share.
        on_trial: Called with each trial that ends here and the number of trials done so far.

    Returns:
        Why it ended. On Ctrl-C the running trial is finished first.

    Raises:
        XaipruneError: Three trials failed in a row, or the storage broke.
        KeyboardInterrupt: Ctrl-C came twice; the running trial is queued again.
    """
    with plain_errors(storage_url(context.config)), quiet(), graceful() as stop:
        return _Loop(study, context, on_trial, stop).run()


class _Loop:
    def __init__(self, study: optuna.Study, context: Context, on_trial: OnTrial | None, stop: Stop) -> None:
        self._study, self._context, self._on_trial, self._stop = study, context, on_trial, stop
        self._wanted = context.config.study.n_trials
        self._failures = 0
        self._current: int | None = None
        limit = context.config.study.timeout
        self._deadline = None if limit is None else time.monotonic() + limit

    def run(self) -> Ending:
        waited = False
        while True:
            for number in stale.recover(self._study):
                log.info("trial %d was left unfinished by a worker that is gone; it runs again", number)
            now = counts(self._study)
            if now.done >= self._wanted:
                return Ending.COMPLETE
            if self._stop.asked:
                return Ending.INTERRUPTED
            if self._deadline is not None and time.monotonic() >= self._deadline:
                return Ending.TIMEOUT
            if self._enough():
                if not waited:
                    log.info("waiting for %d trials that run elsewhere", now.running)
                waited = True
                time.sleep(_POLL_SECONDS)
                optuna.storages.fail_stale_trials(self._study)
                continue
            self._optimize()
            if not self._stop.asked and not self._late() and not self._enough():
                return Ending.EXHAUSTED

    def _optimize(self) -> None:
        self._seed()
        try:
            self._study.optimize(
                self._objective, catch=(TrialFailed,), callbacks=[self._after], timeout=self._left()
            )
        except KeyboardInterrupt:
            self._queue_again()
            raise

    def _objective(self, trial: Trial) -> float:
        self._current = trial.number
        stale.sign(trial)
        watch = one_trial.Stopwatch()
        try:
            with watch.step("suggest"):
                proposal = self._proposal(trial)
            known = Known.of(self._study)
            result = one_trial.run(self._context, proposal, trial.number, known, watch)
        except (OptunaError, SQLAlchemyError):
            raise  # the storage's or the sampler's, not the trial's
        except XaipruneError as error:
            trial.set_user_attr("reason", str(error))
            raise TrialFailed(str(error)) from error
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            trial.set_user_attr("reason", reason)
            trial.set_user_attr("traceback", traceback.format_exc()[-4000:])
            raise TrialFailed(reason) from error
        for key, value in one_trial.attributes(self._context, proposal, result, watch).items():
            trial.set_user_attr(key, value)
        return result.value

    def _proposal(self, trial: Trial) -> Proposal:
        preset = trial.user_attrs.get("preset")
        if trial.user_attrs.get("outside_space"):
            recipe = PRESETS[str(preset)]
            return Proposal(recipe.composite, recipe.start, recipe.aggregation)
        proposal = suggest(trial, self._context.space)
        if preset is None:
            return proposal
        return Proposal(proposal.composite.renamed(preset), proposal.start, proposal.aggregation)

    def _after(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._current = None
        if self._on_trial is not None:
            self._on_trial(trial, counts(study).done)
        self._failures = self._failures + 1 if trial.state is TrialState.FAIL else 0
        if self._failures == FAILURES_IN_A_ROW:
            raise XaipruneError(
                f"{FAILURES_IN_A_ROW} trials failed in a row, the last one (trial {trial.number}): "
                f"{trial.user_attrs.get('reason', 'no reason given')}"
            )
        if self._stop.asked or self._enough():
            study.stop()
        self._seed()

    def _seed(self) -> None:
        """A sampler for the next trial, whose seed depends on how many there are."""
        config = self._context.config
        trials = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = make_sampler(config.sampler, self._context.space, config.seed, trials)

    def _enough(self) -> bool:
        now = counts(self._study)
        return now.done + now.running >= self._wanted

    def _left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _queue_again(self) -> None:
        """Queue the trial that was cut off, unless it had finished."""
        if self._current is None:
            return
        trial = self._study.get_trials(deepcopy=False)[self._current]
        if trial.state is TrialState.FAIL and "reason" not in trial.user_attrs:
            stale.retry(self._study, trial)
