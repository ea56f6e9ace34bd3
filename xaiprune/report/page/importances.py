"""How much each parameter matters for a good trial, and how certain that is."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

from xaiprune.report.page.sampled_study import SampledStudy
from xaiprune.report.stored_trials import StoredTrials
from xaiprune.storage import quiet

LEAST_TRIALS = 20
_MOST_TRIALS = 500  # of more, every so many-th is taken
_LEAST_OF_ONE = 10  # trials that had a parameter; with fewer, its importance is noise
_RESAMPLED = 20
_GOOD = 0.1  # a good trial is among the best tenth, or the best five if that is more
_LEAST_GOOD = 5


def importances(
    stored: StoredTrials, measure: str = "top1", *, minimises: bool = False
) -> pd.DataFrame | str:
    """Share of each parameter in what tells the best tenth of the trials from the rest.

    Optuna's conditional PED-ANOVA, which also takes parameters that only some of the trials had (at least
    ten). Trials without any parameter (presets outside the space) are left out. A trial that was stopped in a
    race counts with its score on the images that it was evaluated on, which are a fair sample. The range is
    the middle 80 % of 20 resamples of the trials; with few trials it is wide.

    Args:
        stored: The trials, with the attribute ``scores`` for those that were raced.
        measure: Name of the score that a raced trial counts with.
        minimises: Whether a lower value is better.

    Returns:
        ``parameter``, ``importance`` (they sum to 1), ``low``, ``high``, ``trials`` (that had it), the most
        important first; or the reason why there is no such table.
    """
    usable = _usable(stored, measure, -1.0 if minimises else 1.0)
    if len(usable) < LEAST_TRIALS:
        return (
            f"they need at least {LEAST_TRIALS} finished trials with parameters, and there are {len(usable)}"
        )
    if len({trial.value for trial in usable}) == 1:
        return "all finished trials have the same value"
    had = {name: sum(name in trial.params for trial in usable) for name in stored.params}
    names = [name for name, count in had.items() if count >= _LEAST_OF_ONE]
    draw = np.random.default_rng(0)
    samples = [[usable[i] for i in draw.integers(len(usable), size=len(usable))] for _ in range(_RESAMPLED)]
    try:
        found = _evaluate(usable, names)
        resampled = [_evaluate(sample, names) for sample in samples]
    except (ValueError, RuntimeError, FloatingPointError) as error:  # raised by Optuna's evaluator
        return f"Optuna could not compute them ({' '.join(str(error).split())[:200]})"
    spread = pd.DataFrame(resampled).reindex(columns=list(found)).fillna(0.0)
    frame = pd.DataFrame(
        {
            "parameter": list(found),
            "importance": list(found.values()),
            "low": spread.quantile(0.1).to_numpy(),
            "high": spread.quantile(0.9).to_numpy(),
            "trials": [had[name] for name in found],
        }
    )
    return frame.sort_values("importance", ascending=False, ignore_index=True)


def _evaluate(trials: list[FrozenTrial], names: list[str]) -> dict[str, float]:
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters that too few trials had; the range shows it
        good = min(0.5, max(_GOOD, _LEAST_GOOD / len(trials)))
        evaluator = PedAnovaImportanceEvaluator(target_quantile=good)
        drawn = [name for name in names if any(name in trial.params for trial in trials)]
        return get_param_importances(SampledStudy(trials), evaluator=evaluator, params=drawn)


def _usable(stored: StoredTrials, measure: str, sign: float) -> list[FrozenTrial]:
    """The finished trials with parameters, as Optuna's objects; of very many only some."""
    values = _values(stored, measure)
    step = max(1, math.ceil(len(values) / _MOST_TRIALS))
    trials = []
    for place, value in list(values.items())[::step]:
        seen = {
            name: column[place] for name, column in stored.params.items() if not math.isnan(column[place])
        }
        if seen:
            distributions = {name: stored.distributions[name] for name in seen}
            params = {name: distributions[name].to_external_repr(value) for name, value in seen.items()}
            trials.append(create_trial(value=sign * value, params=params, distributions=distributions))
    return trials


def _values(stored: StoredTrials, measure: str) -> dict[int, float]:
    """Position -> value of the trials that have a finite one, in their order."""
    stopped = stored.stopped(measure)
    values = {}
    for place, state in enumerate(stored.states):
        complete = state is TrialState.COMPLETE
        value = float(stored.values[place, 0]) if complete else stopped.get(place, math.nan)
        if math.isfinite(value):
            values[place] = value
    return values
