"""The best composite of a study as a file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from xaiprune.attribution import save_composite
from xaiprune.config import provenance_of, stored_recipe
from xaiprune.recipe import Recipe
from xaiprune.study.fingerprint import stored_fingerprint
from xaiprune.study.notes import RUNS
from xaiprune.study.trials import best_trial, first_value, recipe_of

BEST_FILE = "best.yaml"


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
    recipe = recipe_of(trial)
    path = (folder / BEST_FILE).absolute()
    return save_composite(path, recipe.composite, provenance(study, trial, recipe))


def provenance(study: optuna.Study, trial: FrozenTrial, recipe: Recipe) -> dict[str, Any]:
    """Where a composite comes from, how good it was, and the rest of its recipe.

    Args:
        study: The trial's.
        trial: Finished.
        recipe: What it tried.

    Returns:
        ``value``: the trial's (first) value; ``interval``: 95 % over the images, where it is one figure (of
        one rate); ``scores``: each rate's figures. ``attribution`` and ``recipe`` go with the composite to
        make its ranking. ``model``, ``data``, ``units``, ``prune``, ``objective``: of what; ``versions`` and
        ``command``: with what (None: from Python).
    """
    fingerprint = stored_fingerprint(study) or {}
    scores = [{k: v for k, v in score.items() if k != "chunks"} for score in trial.user_attrs["scores"]]
    return {
        "study": study.study_name,
        "trial": trial.number,
        "value": first_value(trial),
        "interval": interval_of(trial),
        **({"values": list(trial.values)} if len(trial.values) > 1 else {}),
        "scores": scores,
        # The composite alone does not make a ranking; these go with it.
        "attribution": recipe.attribution,
        **({"recipe": recipe.settings} if recipe.settings else {}),
        **{key: fingerprint[key] for key in ("model", "data", "units", "prune", "objective")},
        "versions": study.user_attrs["versions"][-1],
        "command": command_of(study),
    }


def interval_of(trial: FrozenTrial) -> list[float] | None:
    """The 95 % interval of a trial's value over the images; None where it is no single figure."""
    scores = trial.user_attrs["scores"]
    if found := trial.user_attrs.get("faithfulness"):
        scores = [found]
    if len(scores) != 1 or not {"low", "high"} <= set(scores[0]):
        return None
    return [scores[0]["low"], scores[0]["high"]]


def command_of(study: optuna.Study) -> str | None:
    """What was typed when the study was run last; None where it was run from Python."""
    runs = study.user_attrs.get(RUNS) or [{}]
    overrides = runs[-1].get("overrides")
    return None if overrides is None else shlex.join(["xaiprune", "search", *overrides])


def notes_of(path: Path) -> dict[str, str]:
    """Where a composite file comes from, as short lines; empty if it is not noted."""
    found = provenance_of(path)
    if "study" not in found:
        return {}
    of, prune, units = (found.get(key, {}) for key in ("model", "prune", "units"))
    interval = found.get("interval")
    value = f"{found.get('value', 0):.4g}"
    lines = {
        "study": f"{found['study']}, trial {found.get('trial')}",
        "network": f"{of.get('name')} (weights {of.get('weights')})",
        "units": f"{units.get('found')} {units.get('kind')}",
        "value": value if interval is None else f"{value} [{interval[0]:.4g}, {interval[1]:.4g}]",
        "objective": f"{found.get('objective', {}).get('name')} at rate {prune.get('rate')}",
        "attribution": ", ".join(f"{key} {value}" for key, value in stored_recipe(path).items()),
        "versions": ", ".join(f"{key} {value}" for key, value in found.get("versions", {}).items() if value),
    }
    return lines | ({"command": found["command"]} if found.get("command") else {})
