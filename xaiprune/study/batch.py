"""Trials that were asked for together: attributed in one forward, then run one by one."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import optuna
import torch
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.samplers import GridSampler, RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from xaiprune.attribution import Relevance
from xaiprune.errors import XaipruneError
from xaiprune.recipe import Recipe
from xaiprune.storage import REASON, retry, storage_lock
from xaiprune.study.presets import recipe_for
from xaiprune.study.stored import storage_url
from xaiprune.study.trials import counts
from xaiprune.trial import Race, Result, ScoreCache, SearchSetup, Stopwatch, attributes, run_trial

log = logging.getLogger(__name__)
FAILURES_IN_A_ROW = 3

OnTrial = Callable[[FrozenTrial, int], None]


@dataclass
class Asked:
    """A trial of this process that has not ended yet."""

    trial: Trial
    watch: Stopwatch = field(default_factory=Stopwatch)
    recipe: Recipe | None = None
    relevance: Relevance | None = None


class Batch:
    """The trials that are running here.

    Args:
        study: Theirs.
        setup: What all trials share.
        on_trial: Called with each trial that ends, and the number of trials done so far.
    """

    def __init__(self, study: optuna.Study, setup: SearchSetup, on_trial: OnTrial | None) -> None:
        self._study, self._setup, self._on_trial = study, setup, on_trial
        self._failures = 0
        self._halved = False
        self._cache = ScoreCache()
        self.asked: list[Asked] = []

    def run(self, stopped: Callable[[], bool]) -> None:
        """Run them; trials that are not started when a stop is requested remain in `asked`.

        Raises:
            XaipruneError: Three trials failed in a row.
        """
        for asked in list(self.asked):
            try:
                with asked.watch.step("suggest"):
                    asked.recipe = recipe_for(asked.trial, self._setup)
            except XaipruneError as error:
                self._fail(asked, str(error))
            except UpdateFinishedTrialError:
                self._lost(asked)
        self._attribute()
        for place, asked in enumerate(list(self.asked)):
            if place and stopped():
                return  # the rest is queued again, since a whole batch can take long
            try:
                self._run_one(asked)
            except UpdateFinishedTrialError:
                self._lost(asked)

    def queue_again(self) -> None:
        """Queue the trials that did not finish."""
        if not self.asked:
            return
        with storage_lock(storage_url(self._setup.config)):
            for asked in list(self.asked):
                self.asked.remove(asked)
                if self._study.get_trials(deepcopy=False)[asked.trial.number].state is not TrialState.RUNNING:
                    continue  # it ended while the interruption was handled
                with grid_not_stopping(self._study):
                    self._study.tell(asked.trial, state=TrialState.FAIL)
                retry(self._study, self._study.get_trials(deepcopy=False)[asked.trial.number])

    def _lost(self, asked: Asked) -> None:
        """Another process has declared this one dead, because its heartbeat stopped for too long."""
        self.asked.remove(asked)
        log.warning("trial %d was considered abandoned in the meantime, and is run again", asked.trial.number)

    def _attribute(self) -> None:
        """One forward for all new recipes; an error is raised again by the trial that caused it."""
        self._cache.read(self._study)
        new: dict[str, list[Asked]] = {}
        for asked in self.asked:
            if asked.recipe is not None and asked.recipe.key not in self._cache.recipes:
                new.setdefault(asked.recipe.key, []).append(asked)
        if len(self.asked) == 1 or not new or not self._setup.objective.prunes:
            return  # a single trial attributes for itself; heatmaps are computed elsewhere
        recipes = {key: group[0].recipe for key, group in new.items()}
        watch = Stopwatch()
        try:
            with watch.step("attribute"):
                found = self._setup.session.relevances([r for r in recipes.values() if r is not None])
        except Exception as error:
            if not self._halve(error):
                log.debug("attribution of %d trials together failed: %s", len(new), error)
            return
        for group, relevance in zip(new.values(), found, strict=True):
            group[0].watch.seconds["attribute"] = watch.seconds["attribute"] / len(new)
            for asked in group:
                asked.relevance = relevance

    def _run_one(self, asked: Asked) -> None:
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
            raise  # an error of the storage or the sampler, not of the trial
        except XaipruneError as error:
            self._fail(asked, str(error))
            return
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            trial.set_user_attr("traceback", traceback.format_exc()[-4000:])
            self._fail(asked, reason)
            return
        for key, value in attributes(self._setup, recipe, result, asked.watch).items():
            trial.set_user_attr(key, value)
        for name, excess in result.constraints.items():
            trial.set_constraint(name, excess)
        if result.values is None:
            self._tell(asked, TrialState.PRUNED)
        else:
            self._tell(asked, TrialState.COMPLETE, result.values)

    def _measure(self, asked: Asked, recipe: Recipe, race: Race | None) -> Result:
        self._cache.read(self._study)
        number, cache = asked.trial.number, self._cache.copy()
        return run_trial(self._setup, recipe, number, cache, asked.watch, asked.relevance, race)

    def _halve(self, error: Exception) -> bool:
        """Half as many images in a pass, once, after running out of memory; whether to try again."""
        if self._halved or not _out_of_memory(error):
            return False
        self._halved = True
        batch = self._setup.session.batch
        batch.halve()
        log.warning(
            "out of memory; continuing with attribution.batch_size=%d and data.batch_size=%d",
            batch.attribution,
            batch.forward,
        )
        return True

    def _fail(self, asked: Asked, reason: str) -> None:
        asked.trial.set_user_attr(REASON, reason)
        self._tell(asked, TrialState.FAIL)

    def _tell(self, asked: Asked, state: TrialState, values: Sequence[float] | None = None) -> None:
        """End a trial, and decide whether the study continues."""
        with grid_not_stopping(self._study):
            self._study.tell(asked.trial, values, state)
        self.asked.remove(asked)
        trial = self._study.get_trials(deepcopy=False)[asked.trial.number]
        if self._on_trial is not None:
            self._on_trial(trial, counts(self._study).done)
        self._failures = self._failures + 1 if state is TrialState.FAIL else 0
        if self._failures == FAILURES_IN_A_ROW:
            raise XaipruneError(
                f"{FAILURES_IN_A_ROW} trials failed in a row, the last one (trial {trial.number}): "
                f"{trial.user_attrs.get('reason', 'no reason given')}"
            )


@contextmanager
def grid_not_stopping(study: optuna.Study) -> Iterator[None]:
    """Keep a grid from stopping its study after the last point, which only ``Study.optimize`` supports."""
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
