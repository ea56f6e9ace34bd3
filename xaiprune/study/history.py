"""What a sampler sees of a long study: not every trial."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from xaiprune.storage import StudyView
from xaiprune.study.trials import is_feasible, merit

MOST = 500
# TPE models the best tenth of all trials, but never more than 25, against all others, of which it gives the
# last 25 their full weight (Optuna's default_gamma and default_weights).
_BEST = _LAST = 25
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class BoundedHistory(BaseSampler):
    """Optuna's TPE, whose cost would grow with every trial: it compares 25 trials with all others.

    The 25 are always shown; of the others the last 25, and as many of the rest, evenly spread, as make `MOST`
    finished trials. So the model of good trials is TPE's own, and that of the others has fewer samples. A
    study that has no more trials than that, or several values, is seen as it is.

    Args:
        sampler: Optuna's ``TPESampler``.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler
        self._view: optuna.Study | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As the sampler does, of the trials that it is shown."""
        return self._sampler.infer_relative_search_space(self._look(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler does, of the trials that it is shown."""
        # Once for all groups of parameters; anew, because trials that were asked for meanwhile are noted.
        self._view = self._look(study)
        return self._sampler.sample_relative(self._view, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As the sampler does, of the trials that it is shown."""
        return self._sampler.sample_independent(self._view or study, trial, param_name, param_distribution)

    def _look(self, study: optuna.Study) -> optuna.Study:
        return cast(optuna.Study, StudyView(study, shown(study, study.get_trials(deepcopy=False))))

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """As the sampler does."""
        self._sampler.before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """As the sampler does."""
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """As the sampler does."""
        self._sampler.reseed_rng()


def shown(study: optuna.Study, trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    """The trials of a study that a sampler is shown, by number.

    Args:
        study: Its direction says which trials are good.
        trials: All of its trials, by number.
    """
    finished = [trial for trial in trials if trial.state in _FINISHED]
    if len(finished) <= MOST or len(study.directions) > 1:
        return trials
    good = (trial for trial in finished if trial.state is TrialState.COMPLETE and is_feasible(trial))
    best = heapq.nlargest(_BEST, good, key=lambda trial: merit(study, trial))
    if len(best) < _BEST:
        return trials  # then TPE also counts raced and infeasible trials among the best
    keep = {trial.number for trial in best}
    others = [trial.number for trial in finished if trial.number not in keep]
    keep.update(others[-_LAST:])
    spread = np.linspace(0, len(others) - _LAST - 1, MOST - _BEST - _LAST)
    keep.update(others[int(place)] for place in spread)
    return [trial for trial in trials if trial.state not in _FINISHED or trial.number in keep]
