"""``xaiprune export``: composites of a study as YAML files, which every task takes as ``composite.file``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from xaiprune.attribute.lrp.composite_io import save_composite
from xaiprune.cli.stored import require_ours, stored_study
from xaiprune.config.tasks import ExportConfig
from xaiprune.errors import XaipruneError
from xaiprune.search import best_trial, proposal_of
from xaiprune.search.best import NAME, provenance
from xaiprune.search.study import first_value


def run(config: ExportConfig) -> None:
    """Write the best, the given, or the best few trials' composites, and say where."""
    settings = config.export
    if settings.trial is not None and settings.top > 1:
        raise XaipruneError("export.trial names one trial and export.top asks for several; set one of them")
    folder = Path(config.output_dir or ".").absolute()
    with stored_study(config) as study:
        require_ours(study)
        if settings.trial is not None:
            chosen = {f"trial-{settings.trial}.yaml": finished_trial(study, settings.trial)}
        elif settings.top > 1:
            trials = distinct_trials(study, settings.top)
            chosen = {f"top-{rank:02d}.yaml": trial for rank, trial in enumerate(trials, start=1)}
        else:
            chosen = {NAME: best_trial(study)}
        for name, trial in chosen.items():
            path = export(study, trial, folder / name)
            print(f"trial {trial.number:>4}  {100 * first_value(trial):5.1f} %  {path}")
        if len(chosen) < settings.top:
            print(f"the study has only {len(chosen)} finished trials that remove different units")
    print(f"to use it: {usage(next(iter(chosen.values())), folder / next(iter(chosen)))}")


def export(study: optuna.Study, trial: FrozenTrial, path: Path) -> Path:
    """Write one trial's composite, with where it comes from.

    Args:
        study: The trial's.
        trial: Finished.
        path: File to write; replaced where it is there.

    Returns:
        ``path``.
    """
    proposal = proposal_of(trial)
    fingerprint: dict[str, Any] = study.user_attrs["fingerprint"]
    origin = provenance(study, trial, proposal) | {
        "data": fingerprint["data"],
        "objective": fingerprint["objective"],
    }
    return save_composite(path, proposal.composite, origin)


def finished_trial(study: optuna.Study, number: int) -> FrozenTrial:
    """A trial by its number.

    Raises:
        XaipruneError: There is none, or it has no value.
    """
    trials = study.get_trials(deepcopy=False)
    if number >= len(trials):
        raise XaipruneError(
            f"export.trial={number}: study '{study.study_name}' has {len(trials)} trials, counted from 0"
        )
    trial = trials[number]
    if trial.state is not TrialState.COMPLETE:
        reason = trial.user_attrs.get("reason", "it has no value")
        raise XaipruneError(
            f"export.trial={number}: the trial is not finished but {trial.state.name.lower()} ({reason}); "
            "choose another"
        )
    return trial


def distinct_trials(study: optuna.Study, count: int) -> list[FrozenTrial]:
    """The best trials, of those that remove the same units the earliest.

    Raises:
        XaipruneError: No trial has finished.
    """
    best_trial(study)  # refuses a study without any
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    found: dict[tuple[str, ...], FrozenTrial] = {}
    for trial in sorted(finished, key=lambda t: (-first_value(t), t.number)):
        plans = tuple(score["plan"] for score in trial.user_attrs["scores"])
        found.setdefault(plans, trial)
    return list(found.values())[:count]


def usage(trial: FrozenTrial, path: Path) -> str:
    """The overrides that make another task rank units as the trial did."""
    proposal = proposal_of(trial)
    aggregation = proposal.aggregation
    return " ".join(
        [
            f"composite.file={path}",
            f"attribution.start={proposal.start}",
            f"attribution.aggregate={aggregation.mode}",
            f"attribution.image_weight={aggregation.image_weight}",
            f"attribution.normalize={aggregation.normalize}",
        ]
    )
