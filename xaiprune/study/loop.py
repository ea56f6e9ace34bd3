"""Trials, one after the other, until the study has as many as wanted."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import optuna
import torch
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.samplers import GridSampler, RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from xaiprune.attribution import Relevance
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS
from xaiprune.recipe.recipe import Recipe
from xaiprune.session.session import Context
from xaiprune.space.sample import suggest
from xaiprune.storage import stale
from xaiprune.storage.connect import plain_errors, quiet
from xaiprune.storage.heartbeat import beating
from xaiprune.storage.lock import storage_lock
from xaiprune.study.interrupt import Stop, graceful
from xaiprune.study.sampler import make_sampler
from xaiprune.study.study import GIVEN, counts, storage_url
from xaiprune.trial import run as one_trial
from xaiprune.trial.cache import ScoreCache
from xaiprune.trial.race import Race

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


def run_trials(
    study: optuna.Study, context: Context, on_trial: OnTrial | None = None, *, flag: Path | None = None
) -> Ending:
    """Run what is missing of ``study.n_trials``.

    Args:
        study: As `open_study` gives it.
        context: What all trials share.
        on_trial: Called with each trial that ends here and the number of trials done so far.
        flag: This process is one of several workers; a file of this name asks them to end.

    Returns:
        Why it ended. On Ctrl-C the running trial is finished first.

    Raises:
        XaipruneError: Three trials failed in a row, or the storage broke.
        KeyboardInterrupt: Ctrl-C came twice; the running trial is queued again.
    """
    with plain_errors(storage_url(context.config)), quiet(), graceful(flag) as stop, stale.running() as name:
        return _Loop(study, context, on_trial, stop, name).run()


@dataclass
class _Asked:
    """A trial of this process that has not ended yet."""

    trial: Trial
    watch: one_trial.Stopwatch = field(default_factory=one_trial.Stopwatch)
    recipe: Recipe | None = None
    relevance: Relevance | None = None


class _Loop:
    def __init__(
        self, study: optuna.Study, context: Context, on_trial: OnTrial | None, stop: Stop, name: str
    ) -> None:
        self._study, self._context, self._on_trial, self._stop = study, context, on_trial, stop
        self._name = name
        self._wanted, self._batch = context.config.study.n_trials, context.config.search.batch
        self._failures = 0
        self._halved = False
        self._asked: list[_Asked] = []
        limit = context.config.study.timeout
        self._deadline = None if limit is None else time.monotonic() + limit

    def run(self) -> Ending:
        waited = False
        while True:
            if (ending := self._take()) is not None:
                return ending
            if not self._asked:
                if not waited and self._stop.flag is None:  # of workers who leads them shows the trials
                    log.info("waiting for %d trials that run elsewhere", counts(self._study).running)
                waited = True
                time.sleep(_POLL_SECONDS)
                continue
            try:
                with beating([asked.trial for asked in self._asked]):
                    self._run_asked()
            except BaseException:
                self._queue_again()
                raise
            self._queue_again()

    def _take(self) -> Ending | None:
        """Take the next trials, as many as are missing; why there are none, where that is for good.

        One process at a time: with SQLite, Optuna would hand the same queued trial to two that ask at once,
        and on any storage both would see as many missing trials and take more than that.
        """
        with storage_lock(storage_url(self._context.config)):
            optuna.storages.fail_stale_trials(self._study)
            for number in stale.recover(self._study):
                log.info("trial %d was left unfinished by a worker that is gone; it runs again", number)
            now = counts(self._study)
            if now.done >= self._wanted:
                return Ending.COMPLETE
            if self._stop.asked:
                return Ending.INTERRUPTED
            if self._late():
                return Ending.TIMEOUT
            if (missing := self._wanted - now.done - now.running) <= 0:
                return None
            self._ask(min(self._batch, missing))
            return None if self._asked else Ending.EXHAUSTED

    def _ask(self, number: int) -> None:
        for _ in range(number):
            self._seed()
            if self._exhausted():
                break
            asked = _Asked(self._study.ask())
            self._asked.append(asked)
            stale.sign(asked.trial, self._name, self._context.config.worker)

    def _run_asked(self) -> None:
        """Run what was asked for: attribution together, the rest one after the other."""
        for asked in list(self._asked):
            try:
                with asked.watch.step("suggest"):
                    asked.recipe = self._recipe(asked.trial)
            except XaipruneError as error:
                self._fail(asked, str(error))
            except UpdateFinishedTrialError:
                self._lost(asked)
        self._attribute()
        for place, asked in enumerate(list(self._asked)):
            if place and (self._stop.asked or self._late()):
                return  # the rest is queued again: nobody wants to wait for a whole batch
            try:
                self._run_one(asked)
            except UpdateFinishedTrialError:
                self._lost(asked)

    def _lost(self, asked: _Asked) -> None:
        """Another process took this one for dead: it had given no sign of life for too long."""
        self._asked.remove(asked)
        log.warning("trial %d was taken for abandoned meanwhile, and runs again", asked.trial.number)

    def _attribute(self) -> None:
        """One forward for all new recipes; what goes wrong is left to each trial to meet itself."""
        known = ScoreCache.of(self._study)
        new: dict[str, list[_Asked]] = {}
        for asked in self._asked:
            if asked.recipe is not None and asked.recipe.key not in known.recipes:
                new.setdefault(asked.recipe.key, []).append(asked)
        if len(self._asked) == 1 or not new or self._context.objective.explains:
            return  # a single trial attributes for itself, and heatmaps are another matter
        first = [group[0] for group in new.values()]
        watch = one_trial.Stopwatch()
        try:
            with watch.step("attribute"):
                found = self._context.relevances([a.recipe for a in first if a.recipe is not None])
        except Exception as error:
            if not self._halve(error):
                log.debug("attribution of %d trials together failed: %s", len(first), error)
            return
        seconds = watch.seconds["attribute"] / len(first)
        for asked, relevance in zip(first, found, strict=True):
            asked.relevance = relevance
            asked.watch.seconds["attribute"] = seconds
            for twin in new[asked.recipe.key][1:]:  # type: ignore[union-attr]
                twin.relevance = relevance

    def _run_one(self, asked: _Asked) -> None:
        trial, recipe = asked.trial, asked.recipe
        assert recipe is not None
        race = Race.of(self._study, trial)
        try:
            try:
                result = self._measure(asked, recipe, race)
            except Exception as error:
                if not self._halve(error):
                    raise
                result = self._measure(asked, recipe, race)
        except (OptunaError, SQLAlchemyError):
            raise  # the storage's or the sampler's, not the trial's
        except XaipruneError as error:
            self._fail(asked, str(error))
            return
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            trial.set_user_attr("traceback", traceback.format_exc()[-4000:])
            self._fail(asked, reason)
            return
        for key, value in one_trial.attributes(self._context, recipe, result, asked.watch).items():
            trial.set_user_attr(key, value)
        for name, excess in result.constraints.items():
            trial.set_constraint(name, excess)
        if result.values is None:
            self._tell(asked, TrialState.PRUNED)
        else:
            self._tell(asked, TrialState.COMPLETE, result.values)

    def _measure(self, asked: _Asked, recipe: Recipe, race: Race | None) -> one_trial.Result:
        known = ScoreCache.of(self._study)
        number, relevance = asked.trial.number, asked.relevance
        return one_trial.run(self._context, recipe, number, known, asked.watch, relevance, race)

    def _halve(self, error: Exception) -> bool:
        """Half as many images in a pass, once, after running out of memory; whether to try again."""
        if self._halved or not _out_of_memory(error):
            return False
        self._halved = True
        self._context = self._context.with_smaller_batches()
        config = self._context.config
        log.warning(
            "out of memory; going on with attribution.batch_size=%d and data.batch_size=%d",
            config.attribution.batch_size,
            config.data.batch_size,
        )
        return True

    def _fail(self, asked: _Asked, reason: str) -> None:
        asked.trial.set_user_attr("reason", reason)
        self._tell(asked, TrialState.FAIL)

    def _tell(self, asked: _Asked, state: TrialState, values: Sequence[float] | None = None) -> None:
        """End a trial, and see whether the study goes on."""
        with _grid_kept_quiet(self._study):
            self._study.tell(asked.trial, values, state)
        self._asked.remove(asked)
        trial = self._study.get_trials(deepcopy=False)[asked.trial.number]
        if self._on_trial is not None:
            self._on_trial(trial, counts(self._study).done)
        self._failures = self._failures + 1 if state is TrialState.FAIL else 0
        if self._failures == FAILURES_IN_A_ROW:
            raise XaipruneError(
                f"{FAILURES_IN_A_ROW} trials failed in a row, the last one (trial {trial.number}): "
                f"{trial.user_attrs.get('reason', 'no reason given')}"
            )

    def _recipe(self, trial: Trial) -> Recipe:
        preset = trial.user_attrs.get("preset")
        if trial.user_attrs.get("outside_space"):
            if GIVEN in trial.user_attrs:
                return Recipe.from_dict(trial.user_attrs[GIVEN], str(preset))
            recipe = PRESETS[str(preset)]
            return Recipe(recipe.composite, recipe.start, recipe.aggregation)
        recipe = suggest(trial, self._context.space)
        if preset is None:
            return recipe
        return replace(recipe, composite=recipe.composite.renamed(preset))

    def _seed(self) -> None:
        """A sampler for the next trial, whose seed depends on how many there are."""
        config = self._context.config
        trials = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = make_sampler(
            config.sampler, self._context.space, config.seed, trials, config.worker
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

    def _queue_again(self) -> None:
        """Queue the trials that were asked for and did not come to an end."""
        for asked in list(self._asked):
            self._asked.remove(asked)
            if self._study.get_trials(deepcopy=False)[asked.trial.number].state is not TrialState.RUNNING:
                continue  # it ended in the very moment of the interruption
            with _grid_kept_quiet(self._study):
                self._study.tell(asked.trial, state=TrialState.FAIL)
            stale.retry(self._study, self._study.get_trials(deepcopy=False)[asked.trial.number])


@contextmanager
def _grid_kept_quiet(study: optuna.Study) -> Iterator[None]:
    """A grid stops its study after the last point, which only ``Study.optimize`` can bear."""
    sampler = study.sampler
    if isinstance(sampler, GridSampler):
        study.sampler = RandomSampler()
    try:
        yield
    finally:
        study.sampler = sampler


def _out_of_memory(error: Exception) -> bool:
    # torch raises RuntimeError on CPUs, OutOfMemoryError (a RuntimeError) on GPUs.
    text = str(error)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text
