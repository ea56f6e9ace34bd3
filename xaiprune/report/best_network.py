"""What a report shows of the best trial's network and needs the network for: its cost and heatmaps."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import optuna
import torch
from torch import Tensor, nn

from xaiprune.attribution import heatmaps
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.pruning import Plan, masked
from xaiprune.recipe import PRESETS
from xaiprune.report.heatmaps import draw_heatmaps
from xaiprune.report.page.findings import COST, COST_SCHEMA, HEATMAPS
from xaiprune.session import PruningSession
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
            _draw(session, plan, smaller, picture)
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


def _draw(session: PruningSession, plan: Plan, smaller: nn.Module, path: Path) -> None:
    test, task = session.dataset.test, session.task
    shown = test.spread(_PICTURES)

    def maps(model: nn.Module) -> Tensor:
        images, labels = shown.tensor(device=session.device), shown.labels.to(session.device)
        return heatmaps(model, images, labels, PRESETS[_EXPLAINS].composite, task=task)

    relevance = {"dense": maps(session.model)}
    name = f"{plan.n_removed} {session.unit_kind} removed"
    if session.only_removes:
        # The same answers, also where a layer of the smaller network is one that LRP does not know.
        with masked(session.model, plan, session.units):
            relevance[name] = maps(session.model)
    else:
        relevance[name] = maps(smaller)
    if not all(torch.isfinite(values).all() for values in relevance.values()):
        raise XaipruneError("relevance of the pixels is not finite")
    captions = [task.classes[int(label)] for label in shown.labels]
    draw_heatmaps(shown.pictures(), captions, relevance, path, across=True)
