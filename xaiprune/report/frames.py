"""A study as a tidy pandas frame: one row a trial."""

from __future__ import annotations

from typing import Any

import optuna
import pandas as pd


def trials(study: optuna.Study) -> pd.DataFrame:
    """Every trial of a study, one row each, in the order they were asked.

    Args:
        study: The study, of one objective.

    Returns:
        Columns ``number``, ``state`` (Optuna's, in lower case: ``complete``, ``fail``, ...), ``value``
        (top-1, fraction; NaN where there is none), ``best`` (the best value up to here), ``started`` (local
        time, as stored), ``seconds``, one ``param.<name>`` for each parameter and one ``attr.<name>`` for
        each user attribute that is a number, a text or a truth value. Parameters that a trial did not have
        are missing values.
    """
    best_of = min if study.direction is optuna.study.StudyDirection.MINIMIZE else max
    best: float | None = None
    rows = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state is optuna.trial.TrialState.COMPLETE and trial.value is not None:
            best = trial.value if best is None else best_of(best, trial.value)
        rows.append(_row(trial, best))
    columns = ["number", "state", "value", "best", "started", "seconds"]
    frame = pd.DataFrame(rows)
    return frame.reindex(columns=[*columns, *(c for c in frame.columns if c not in columns)])


def _row(trial: optuna.trial.FrozenTrial, best: float | None) -> dict[str, Any]:
    plain = {k: v for k, v in trial.user_attrs.items() if isinstance(v, str | int | float | bool)}
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": float("nan") if trial.value is None else trial.value,
        "best": float("nan") if best is None else best,
        "started": trial.datetime_start,
        "seconds": float("nan") if trial.duration is None else trial.duration.total_seconds(),
        **{f"param.{name}": value for name, value in trial.params.items()},
        **{f"attr.{name}": value for name, value in plain.items()},
    }
