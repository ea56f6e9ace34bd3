"""Studies and comparisons as tidy pandas frames: one row a trial, a layer of a trial, a rate of a method.

Columns are typed: numbers are ``float64``, counts that may be missing ``Int64``, choices categorical in a
meaningful order, other texts pandas' strings, times UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from xaiprune.comparison.table import Comparison, summary
from xaiprune.registry import OBJECTIVES
from xaiprune.report.reading import read_trials
from xaiprune.report.stored_trials import StoredTrials
from xaiprune.study import network_of

STATES = ("complete", "pruned", "fail", "running", "waiting")
STEPS = ("suggest", "attribute", "plan", "evaluate")
_ATTRS = ("seconds", "evaluated", "images", "preset", "reused_from", "retry_of", "reason", "kept", "scores")
_KIND_ORDER = ("dense", "best", "preset", "criterion", "peer", "random")
# From pandas 3 on, missing texts are NaN as in every other column; before, this is the closest.
_TEXT = "str" if int(pd.__version__.partition(".")[0]) >= 3 else "string"


def trials(study: optuna.Study) -> pd.DataFrame:
    """Every trial of a study, one row each, in the order of their numbers.

    Works on any study of Optuna; columns that only xaiprune's searches store are missing values in others.
    From a database 10,000 trials take about two seconds (more with several objectives, whose front Optuna
    finds).

    Args:
        study: From `xaiprune.study.load_study` or `optuna.load_study`.

    Returns:
        ``number``; ``state`` (categorical: complete, pruned, fail, running, waiting); ``value`` (of the first
        objective: in xaiprune's studies top-1 on the validation images, a fraction, or what
        ``objective.name`` says); ``value_low`` and ``value_high``, its 95 % interval over images (where one
        rate was measured); ``cost.<name>`` (as a part of the dense network's, where it was measured), else
        ``value.1`` and so on for further objectives; ``best`` (best value so far that keeps the constraints);
        ``feasible`` (whether a finished trial keeps them); with several objectives ``front`` (whether it is
        on the Pareto front); ``started`` (UTC); ``seconds`` in all and ``seconds.suggest``, ``.attribute``,
        ``.plan``, ``.evaluate``; ``evaluated`` of ``images`` (image evaluations made, and needed without
        racing and reuse); ``removed`` and ``kept`` (units of the plan, at the last rate); ``preset``;
        ``reused_from`` (the earlier trial that removed the same units) and ``retry_of`` (the interrupted
        trial that this one repeats); ``reason`` (of a failure).

        Then one column a parameter, by its name (``low.rule``, ``low.gamma``, ``start``): rules and other
        choices are categorical in the space's order, numbers ``float64``, whole numbers ``Int64``; missing
        where a trial did not have it. A parameter named like one of the columns above is ``param.<name>``.
    """
    stored = read_trials(study, _ATTRS)
    columns: dict[str, Any] = {
        "number": stored.numbers,
        "state": pd.Categorical([state.name.lower() for state in stored.states], STATES),
        "value": stored.values[:, 0],
    }
    columns |= _intervals(study, stored)
    columns |= _costs(study, stored)
    columns |= _standing(study, stored)
    columns |= _times(stored)
    columns |= {key: _whole(len(stored), stored.attrs[key]) for key in ("evaluated", "images")}
    kept = {place: sum(layers.values()) for place, layers in kept_by_trial(stored).items()}
    found = study.user_attrs.get("fingerprint", {}).get("units", {}).get("found")
    removed = {} if found is None else {place: found - units for place, units in kept.items()}
    columns |= {"removed": _whole(len(stored), removed), "kept": _whole(len(stored), kept)}
    columns["preset"] = _text(len(stored), stored.attrs["preset"])
    columns |= {key: _whole(len(stored), stored.attrs[key]) for key in ("reused_from", "retry_of")}
    columns["reason"] = _text(len(stored), stored.attrs["reason"])
    own = set(columns)
    for name in by_part(list(stored.params)):
        column = f"param.{name}" if name in own else name
        columns[column] = _param(stored.params[name], stored.distributions[name])
    return pd.DataFrame(columns)


def layers(study: optuna.Study) -> pd.DataFrame:
    """How many units every trial's plan keeps in every unit layer, one row a trial and layer.

    A trial that removed the same units as an earlier one has the earlier one's rows; trials without a plan
    (failed ones) have none. With several rates the plan is that of the last one.

    Args:
        study: Made by a search.

    Returns:
        ``number`` and ``value`` of the trial; ``layer`` (categorical, in execution order); ``position`` of
        the layer (from 0) and ``depth`` (0 for the first, 1 for the last); ``units`` it has, ``kept`` of
        them, and ``share`` kept. Units and share are missing in studies of older versions, which did not
        store the layers' sizes; running the same search command again stores them.
    """
    stored = read_trials(study, ("kept", "reused_from"))
    kept = kept_by_trial(stored)
    network = network_of(study)
    noted = {} if network is None else network.units
    names = list(dict.fromkeys([*noted, *(name for plan in kept.values() for name in plan)]))
    codes = {name: code for code, name in enumerate(names)}
    places = np.repeat(list(kept) or [0], [len(plan) for plan in kept.values()] or [0]).astype(int)
    position = np.array([codes[name] for plan in kept.values() for name in plan], dtype=np.int64)
    left = np.array([units for plan in kept.values() for units in plan.values()], dtype=np.int64)
    sizes = np.array([noted.get(name, np.nan) for name in names], dtype=float)[position]
    return pd.DataFrame(
        {
            "number": stored.numbers[places],
            "value": stored.values[places, 0],
            "layer": pd.Categorical.from_codes(position, pd.Index(names, dtype=_TEXT)),
            "position": position,
            "depth": position / max(1, len(names) - 1),
            "units": _nullable(sizes),
            "kept": left,
            "share": left / sizes,
        }
    )


def accuracy(comparison: Comparison) -> pd.DataFrame:
    """Top-1 of every method along the rates, one row a method, seed and rate.

    Args:
        comparison: From `xaiprune.comparison.table.load` on a study's folder.

    Returns:
        ``method`` (categorical, in the order of comparison), ``kind`` (categorical: dense, best, preset,
        criterion, peer, random), ``part`` (categorical: ``curve``, the rates of the curves on the curve
        images; ``target``, the target rate on all test images), ``rate``, ``seed`` (random only), ``top1``
        with its 95 % interval ``low`` to ``high`` over images (fractions), ``correct`` of ``total`` images,
        ``macs`` and ``params`` (parts of the dense network's that are left): the columns of
        ``comparison.csv``. Of text tokens are counted, and there are ``perplexity``, ``perplexity_low`` and
        ``perplexity_high``.
    """
    frame = _compared(comparison.frame)
    frame["part"] = _ordered(frame.part, first=("curve", "target"))
    return frame


def methods(comparison: Comparison) -> pd.DataFrame:
    """The comparison in one row a method: top-1 at the target rate, and summaries of the curve.

    Returns:
        ``method`` and ``kind`` as in `accuracy`, and the columns of `xaiprune.comparison.table.summary`:
        ``top1``, ``low``, ``high`` at the target rate on all test images; ``curve_mean``, ``trapezoid`` and
        ``rate_kept`` on the curve images; ``p`` of the paired test against the best found; ``macs`` and
        ``params``, the parts of the dense network's that are left at the target rate. Seeds are averaged.
    """
    return _compared(summary(comparison))


def by_part(names: Sequence[str]) -> list[str]:
    """Parameters with those of one part together: ``low.rule``, ``low.gamma``, ``mid.rule``, ..."""
    parts = [name.removesuffix("rule") for name in names if name.endswith(".rule")]  # with their dots

    def place(name: str) -> int:
        own = [part for part in parts if name.startswith(part)]
        return names.index(f"{max(own, key=len)}rule" if own else name)

    return sorted(names, key=place)


def kept_by_trial(stored: StoredTrials) -> dict[int, Mapping[str, int]]:
    """Position of a trial -> unit layer -> units kept; a reused plan is looked up at its first trial."""
    place_of = {int(number): place for place, number in enumerate(stored.numbers)}
    found: dict[int, Mapping[str, int]] = {}
    for place in range(len(stored)):
        source = stored.attrs["reused_from"].get(place)
        plan = stored.attrs["kept"].get(place)
        if plan is None and source is not None:
            plan = found.get(place_of.get(source, -1))
        if plan is not None:
            found[place] = plan
    return found


def _intervals(study: optuna.Study, stored: StoredTrials) -> dict[str, np.ndarray]:
    """The interval of a value that is the top-1, or the perplexity, at one rate."""
    name = study.user_attrs.get("fingerprint", {}).get("objective", {}).get("name")
    kind = OBJECTIVES.get(name)
    prefix = "" if kind is None or kind.fraction else f"{kind.measure}_"
    low, high = np.full(len(stored), np.nan), np.full(len(stored), np.nan)
    for place, scores in stored.attrs["scores"].items():
        complete = stored.states[place] is TrialState.COMPLETE
        if complete and len(scores) == 1 and f"{prefix}low" in scores[0]:
            low[place], high[place] = scores[0][f"{prefix}low"], scores[0][f"{prefix}high"]
    return {"value_low": low, "value_high": high}


def _costs(study: optuna.Study, stored: StoredTrials) -> dict[str, np.ndarray]:
    """Costs as parts of the dense network's: means over the rates, or those at the rate that was found."""
    objective = study.user_attrs.get("fingerprint", {}).get("objective", {})
    finds_rate = objective.get("name") in OBJECTIVES and OBJECTIVES[objective["name"]].finds_rate
    found: dict[str, np.ndarray] = {}
    for place, scores in stored.attrs["scores"].items():
        if finds_rate:
            scores = [score for score in scores if score["rate"] == stored.values[place, 0]]
        for name in scores[0].get("cost", {}) if scores else ():
            column = found.setdefault(f"cost.{name}", np.full(len(stored), np.nan))
            column[place] = np.mean([score["cost"][name] for score in scores])
    if (name := objective.get("cost")) is not None:
        return {**found, f"cost.{name}": stored.values[:, 1]}
    return found | {f"value.{i}": stored.values[:, i] for i in range(1, stored.values.shape[1])}


def _standing(study: optuna.Study, stored: StoredTrials) -> dict[str, Any]:
    """Best so far, whether the constraints are kept, and the Pareto front."""
    complete = np.array([state is TrialState.COMPLETE for state in stored.states], dtype=bool)
    kept = ~(stored.excess > 0)  # true without constraints
    sign = -1.0 if study.directions[0] is StudyDirection.MINIMIZE else 1.0
    goals = np.where(complete & kept, stored.values[:, 0] * sign, -np.inf)
    best = np.maximum.accumulate(goals) * sign
    feasible = pd.array(kept, dtype="boolean")
    feasible[~complete] = pd.NA
    columns: dict[str, Any] = {"best": np.where(np.isinf(best), np.nan, best), "feasible": feasible}
    if len(study.directions) > 1:
        columns["front"] = np.isin(stored.numbers, [trial.number for trial in study.best_trials])
    return columns


def _times(stored: StoredTrials) -> dict[str, Any]:
    seconds = [
        np.nan if start is None or end is None else (end - start).total_seconds()
        for start, end in zip(stored.started, stored.ended, strict=True)
    ]
    columns: dict[str, Any] = {
        "started": pd.Series(stored.started, dtype="datetime64[us, UTC]"),
        "seconds": np.array(seconds, dtype=float),
    }
    for step in STEPS:
        of_step = np.full(len(stored), np.nan)
        for place, watched in stored.attrs["seconds"].items():
            if isinstance(watched, dict):
                of_step[place] = watched.get(step, np.nan)
        columns[f"seconds.{step}"] = of_step
    return columns


def _param(values: np.ndarray, distribution: BaseDistribution) -> Any:
    """A parameter's column from what the sampler saw of it."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        codes = np.where(np.isnan(values), -1, values).astype(int)
        if all(isinstance(c, str) for c in choices):
            return pd.Categorical.from_codes(codes, pd.Index(choices, dtype=_TEXT))
        if all(isinstance(c, int | float) and not isinstance(c, bool) for c in choices):
            numbers = np.array([*choices, np.nan], dtype=float)[codes]
            whole = all(isinstance(c, int) for c in choices)
            return _nullable(numbers) if whole else numbers
        return pd.Categorical.from_codes(codes, pd.Index([str(c) for c in choices], dtype=_TEXT))
    return _nullable(values) if isinstance(distribution, IntDistribution) else values


def _nullable(numbers: np.ndarray) -> Any:
    missing = np.isnan(numbers)
    column = pd.array(np.where(missing, 0, numbers).astype(np.int64), dtype="Int64")
    column[missing] = pd.NA
    return column


def _whole(count: int, values: Mapping[int, Any]) -> Any:
    column: list[int | None] = [None] * count
    for place, value in values.items():
        column[place] = value if isinstance(value, int) else None
    return pd.array(column, dtype="Int64")


def _text(count: int, values: Mapping[int, Any]) -> pd.Series:
    column: list[str | None] = [None] * count
    for place, value in values.items():
        column[place] = None if value is None else str(value)
    return pd.Series(column, dtype=_TEXT)


def _compared(frame: pd.DataFrame) -> pd.DataFrame:
    """Methods and kinds as categories, in the order of comparison."""
    return frame.assign(
        method=_ordered(frame.method), kind=_ordered(frame.kind, first=_KIND_ORDER)
    ).reset_index(drop=True)


def _ordered(values: Iterable[Any], first: Sequence[str] = ()) -> Any:
    found = [str(value) for value in values]
    return pd.Categorical(found, list(dict.fromkeys([*first, *found])))
