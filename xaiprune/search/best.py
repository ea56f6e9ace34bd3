"""The best composite of a study as a file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from xaiprune.attribute.lrp.composite_io import save_composite
from xaiprune.search.proposal import Proposal
from xaiprune.search.study import best_trial, first_value, proposal_of

NAME = "best.yaml"


def save_best(study: optuna.Study, folder: Path) -> Path:
    """Write the best trial's composite, and beside its rules where it comes from and how it is used.

    Args:
        study: With at least one finished trial.
        folder: Gets ``best.yaml``.

    Returns:
        The file's absolute path.

    Raises:
        XaipruneError: No trial has finished.
    """
    trial = best_trial(study)
    proposal = proposal_of(trial)
    path = (folder / NAME).absolute()
    return save_composite(path, proposal.composite, provenance(study, trial, proposal))


def provenance(study: optuna.Study, trial: FrozenTrial, proposal: Proposal) -> dict[str, Any]:
    """Where a composite comes from, and the rest of its recipe."""
    aggregation = asdict(proposal.aggregation)
    return {
        "study": study.study_name,
        "trial": trial.number,
        "top1": first_value(trial),
        "scores": trial.user_attrs["scores"],
        # The composite alone does not make a ranking; these go with it.
        "attribution": {"start": proposal.start, "aggregate": aggregation.pop("mode"), **aggregation},
        **({"recipe": proposal.rest} if proposal.rest else {}),
        "model": study.user_attrs["fingerprint"]["model"],
        "prune": study.user_attrs["fingerprint"]["prune"],
        "units": study.user_attrs["fingerprint"]["units"],
        "versions": study.user_attrs["versions"][-1],
    }
