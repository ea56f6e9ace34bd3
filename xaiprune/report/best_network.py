"""What a report shows of the best trial's network and needs the network for: its cost and heatmaps."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import optuna

from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.recipe import PRESETS
from xaiprune.report.heatmaps import write_heatmaps
from xaiprune.report.page.findings import COST, COST_SCHEMA, HEATMAPS
from xaiprune.study import best_trial, recipe_of
from xaiprune.trial import SearchSetup

log = logging.getLogger(__name__)
_PICTURES = 8
# Made for explaining, for CNNs and transformers; what a search finds is made for ranking units.
_EXPLAINS = "attnlrp_gamma"


def write_best_network(setup: SearchSetup, study: optuna.Study, folder: Path) -> Path | None:
    """Write ``cost.json`` and ``heatmaps.png`` of the best trial, unless they are there.

    Test images are looked at, so this belongs after the search. What cannot be drawn is logged and left out.

    Args:
        setup: The search's.
        study: With a finished trial.
        folder: The study's.

    Returns:
        The picture's path; None where there is none.
    """
    session, trial = setup.session, best_trial(study)
    described, picture = folder / COST, folder / HEATMAPS
    key = f"{trial.user_attrs['key']} {session.network}"
    if _key_of(described) == key:
        return picture if picture.is_file() else None
    recipe = recipe_of(trial)
    session = session.under(recipe)
    plan = session.plan_for(recipe, setup.objective.rate_of(trial, recipe, session.prune.rate))
    smaller = session.pruned(plan, smaller=True).model
    found: dict[str, Any] = {"schema": COST_SCHEMA, "trial": trial.number, "key": key}
    for side, counted in (("dense", session.dense.cost()), ("pruned", session.cost(smaller))):
        found[side] = {"params": counted.params, "macs": counted.macs, "bytes": counted.bytes}
    picture.unlink(missing_ok=True)  # of an earlier best
    if session.dataset.test.pictured:
        try:
            write_heatmaps(
                session, PRESETS[_EXPLAINS], plan, picture, count=_PICTURES, smaller=smaller, across=True
            )
        except XaipruneError as error:
            log.warning("no heatmaps: %s", error)
    with replacing(described) as path:
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return picture if picture.is_file() else None


def _key_of(path: Path) -> str | None:
    """What ``cost.json`` was written for; None where it is missing or cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("key") if isinstance(found, dict) else None
