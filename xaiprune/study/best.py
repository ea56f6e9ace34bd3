"""The best recipe of a study, whole, and as a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial

from xaiprune.config import RECIPE_PRUNE, provenance_of
from xaiprune.errors import XaipruneError
from xaiprune.recipe.written import write_recipe
from xaiprune.registry import OBJECTIVES
from xaiprune.study.fingerprint import stored_fingerprint, stored_prune
from xaiprune.study.notes import RUNS, typed_in
from xaiprune.study.trials import best_trial, first_value, proposal_of, recipe_of

if TYPE_CHECKING:
    from xaiprune.recipe import Recipe

BEST_FILE = "best.yaml"
_DIGITS = 4  # of figures that are for people
_SPLITS = ("reference", "calibration", "validation", "test")


def best_recipe(study: optuna.Study) -> Recipe:
    """All of the best trial's recipe, with what it has from its study: order, compensation, rate, unit kind.

    Args:
        study: With at least one finished trial.

    Raises:
        XaipruneError: No trial has finished.

    Example:
        >>> outcome = prune(model, data, recipe=best_recipe(search(config)))
    """
    return whole_recipe(study, best_trial(study))


def whole_recipe(study: optuna.Study, trial: FrozenTrial) -> Recipe:
    """All of a finished trial's recipe: what the space did not vary is as the study pruned."""
    from xaiprune.recipe import Recipe

    return Recipe.from_dict(whole_proposal(study, trial), f"trial {trial.number}")


def whole_proposal(study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
    """The same as plain data, which needs no torch unless the objective is one that finds the rate."""
    found, prune = proposal_of(trial), stored_prune(study)
    inherited = {key: prune[key] for key in RECIPE_PRUNE if found.get(key) is None}
    if inherited.get("multiple") == 1:  # so that recipes from before there was one keep their hash
        del inherited["multiple"]
    found |= inherited
    found["rate"] = _rate_of(study, trial, found.get("rate"))
    kind = (stored_fingerprint(study) or {}).get("units", {}).get("kind")
    return found | {"units": kind}


def save_best(study: optuna.Study, folder: Path) -> Path:
    """Write the best trial's recipe, and where it comes from.

    Args:
        study: With at least one finished trial.
        folder: Gets ``best.yaml``.

    Returns:
        The file's absolute path.

    Raises:
        XaipruneError: No trial has finished.
    """
    return save_trial(study, best_trial(study), (folder / BEST_FILE).absolute())


def save_trial(study: optuna.Study, trial: FrozenTrial, path: Path) -> Path:
    """Write a finished trial's recipe, and where it comes from.

    Args:
        study: The trial's.
        trial: Finished.
        path: File to write; replaced where it is there.

    Returns:
        ``path``.
    """
    return write_recipe(path, whole_proposal(study, trial), provenance(study, trial))


def provenance(study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
    """Where a trial's recipe comes from and how good it was, in a few lines, for people.

    Args:
        study: The trial's.
        trial: Finished.

    Returns:
        ``value``: the trial's (first) value; ``interval``: 95 % over the images, where it is one figure (of
        one rate); ``plan``: hash of what was removed, likewise. ``model``, ``data``, ``units``, ``prune``,
        ``objective``: of what, beside the recipe; ``versions`` and ``command``: with what (None: Python).
    """
    fingerprint, scores = stored_fingerprint(study) or {}, trial.user_attrs["scores"]
    interval = interval_of(trial)
    units = {key: value for key, value in fingerprint["units"].items() if value and key != "kind"}
    beside = ("min_units", "coupled")
    return {
        "study": study.study_name,
        "trial": trial.number,
        "value": round(first_value(trial), _DIGITS),
        **({} if interval is None else {"interval": [round(bound, _DIGITS) for bound in interval]}),
        **({"values": [round(value, _DIGITS) for value in trial.values]} if len(trial.values) > 1 else {}),
        **({"plan": scores[0]["plan"].split()[0]} if len(scores) == 1 else {}),
        "model": fingerprint["model"],
        "data": _images(fingerprint["data"]),
        "units": units,
        "prune": {key: value for key, value in fingerprint["prune"].items() if key in beside},
        "objective": fingerprint["objective"],
        "versions": {key: value for key, value in study.user_attrs["versions"][-1].items() if value},
        "command": command_of(study),
    }


def interval_of(trial: FrozenTrial) -> list[float] | None:
    """The 95 % interval of a trial's value over the images; None where it is no single figure."""
    scores = trial.user_attrs["scores"]
    if found := trial.user_attrs.get("faithfulness"):
        scores = [found]
    measure = trial.user_attrs.get("measure")
    low, high = ("low", "high") if measure is None else (f"{measure}_low", f"{measure}_high")
    if len(scores) != 1 or not {low, high} <= set(scores[0]):
        return None
    return [scores[0][low], scores[0][high]]


def command_of(study: optuna.Study) -> str | None:
    """What was typed when the study was run last; None where it was run from Python."""
    return typed_in((study.user_attrs.get(RUNS) or [{}])[-1])


def notes_of(path: Path) -> dict[str, str]:
    """Where a recipe file comes from, as short lines; empty if it is not noted."""
    found = provenance_of(path)
    if "study" not in found:
        return {}
    from xaiprune.recipe import load_recipe

    recipe, of, units = load_recipe(path), found.get("model", {}), found.get("units", {})
    interval = found.get("interval")
    value = f"{found.get('value', 0):.4g}"
    lines = {
        "study": f"{found['study']}, trial {found.get('trial')}",
        "network": f"{of.get('name')} (weights {of.get('weights')})",
        "units": f"{units.get('found')} {recipe.units}",
        "value": value if interval is None else f"{value} [{interval[0]:.4g}, {interval[1]:.4g}]",
        "objective": f"{found.get('objective', {}).get('name')} at rate {recipe.rate}",
        "recipe": recipe.summary(),
        "versions": ", ".join(f"{key} {value}" for key, value in found.get("versions", {}).items() if value),
    }
    return lines | ({"command": found["command"]} if found.get("command") else {})


def _rate_of(study: optuna.Study, trial: FrozenTrial, tried: float | None) -> float | None:
    """The rate that a trial found, tried, or was measured at; of several the one that is compared at."""
    asked, rate = (stored_fingerprint(study) or {}).get("objective", {}), stored_prune(study)["rate"]
    if len(asked.get("rates", ())) == 1:
        rate = asked["rates"][0]
    try:
        kind = OBJECTIVES.find(asked.get("name"))
    except XaipruneError:  # one of the user's own, whose module is not imported here
        return rate if tried is None else tried
    if not kind.finds_rate:
        return rate if tried is None else tried
    return kind(asked["name"], tuple(asked.get("rates", ()))).rate_of(trial, recipe_of(trial), rate)


def _images(data: Mapping[str, Any]) -> dict[str, str]:
    """The classes as a count and a hash, and how many images of which there are."""
    described = json.dumps([data["classes"], data.get("logits")])
    digest = hashlib.sha256(described.encode()).hexdigest()[:16]
    splits = {key: data[key] for key in _SPLITS if key in data}
    return {"classes": f"{len(data['classes'])} classes ({digest})", **splits}
