"""What a report shows of the best trial's network and needs the network for: cost and heatmaps."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import FrozenTrial
from torch import Tensor, nn

from xaiprune.attribution.heatmap import heatmaps
from xaiprune.cli.common.study_setup import as_searched, require_same
from xaiprune.config.tasks import ReportConfig
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import cost
from xaiprune.files import replacing
from xaiprune.pruning import Plan, masked
from xaiprune.recipe import PRESETS
from xaiprune.recipe.ranking import scores_of
from xaiprune.recipe.recipe import Recipe
from xaiprune.session import Context
from xaiprune.study import best_trial, open_context, recipe_of
from xaiprune.study.notes import RUNS
from xaiprune.study.study import first_value

log = logging.getLogger(__name__)
_PICTURES = 8
# Made for explaining, for CNNs and transformers; what a search finds is made for ranking units.
_EXPLAINS = "attnlrp_gamma"


def portray(context: Context, study: optuna.Study, folder: Path) -> Path | None:
    """Write ``cost.json`` and ``heatmaps.png`` of the best trial, unless they are there.

    Test images are looked at, so this belongs after the search. What cannot be drawn is said and left out.

    Args:
        context: The search's.
        study: With a finished trial.
        folder: The study's.

    Returns:
        The picture's path; None where there is none.
    """
    from xaiprune.report.page.findings import COST, COST_SCHEMA, HEATMAPS

    trial = best_trial(study)
    described, picture = folder / COST, folder / HEATMAPS
    key = f"{trial.user_attrs['key']} {context.network}"
    if _key_of(described) == key:
        return picture if picture.is_file() else None
    recipe = recipe_of(trial)
    plan = _plan(context, recipe, trial)
    smaller = context.pruned(plan, recipe.compensate, smaller=True).model
    costs = {"dense": context.model, "pruned": smaller}
    found: dict[str, Any] = {"schema": COST_SCHEMA, "trial": trial.number, "key": key}
    for side, model in costs.items():
        counted = cost(model, context.reference_images[:1])
        found[side] = {"params": counted.params, "macs": counted.macs, "bytes": counted.bytes}
    picture.unlink(missing_ok=True)  # of an earlier best
    try:
        _draw(context, recipe, plan, smaller, picture)
    except XaipruneError as error:
        log.warning("no heatmaps: %s", error)
    with replacing(described) as path:
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return picture if picture.is_file() else None


def reopened(config: ReportConfig, study: optuna.Study) -> Context:
    """The context of the search that made a study, by the settings noted with it.

    Raises:
        XaipruneError: None are noted, or network or images are not what they were.
    """
    if not study.user_attrs.get(RUNS):
        raise XaipruneError(
            f"study '{study.study_name}' was made before searches noted their settings; run its search "
            "command again (no trial is repeated), which also writes what report.network=true would"
        )
    context = open_context(as_searched(config, study, "report"))
    require_same(study, context.config, context.dataset, context.units, context.network)
    return context


def _key_of(path: Path) -> str | None:
    """What ``cost.json`` was written for; None where it is missing or cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("key") if isinstance(found, dict) else None


def _plan(context: Context, recipe: Recipe, trial: FrozenTrial) -> Plan:
    (relevance,) = context.relevances([recipe])
    ranking = scores_of(relevance, recipe, context.units, context.layers)
    objective = context.objective
    rate = first_value(trial) if objective.bisects else recipe.rate or context.config.prune.rate
    return context.plan_of(recipe, ranking, rate)


def _draw(context: Context, recipe: Recipe, plan: Plan, smaller: nn.Module, path: Path) -> None:
    from xaiprune.report.heatmaps import draw_heatmaps

    test, task = context.dataset.test, context.task
    count = min(_PICTURES, len(test))
    shown = test.subset(np.linspace(0, len(test) - 1, count).round().astype(int))

    def maps(model: nn.Module) -> Tensor:
        images = shown.tensor(device=context.device)
        return heatmaps(
            model, images, shown.labels.to(context.device), PRESETS[_EXPLAINS].composite, task=task
        )

    prune = context.config.prune
    relevance = {"dense": maps(context.model)}
    name = f"{plan.n_removed} {context.config.units.kind} removed"
    if (recipe.compensate or prune.compensate) == "none" and prune.bn == "keep":
        # The same answers, also where a layer of the smaller network is one that LRP does not know.
        with masked(context.model, plan, context.units):
            relevance[name] = maps(context.model)
    else:
        relevance[name] = maps(smaller)
    if not all(torch.isfinite(values).all() for values in relevance.values()):
        raise XaipruneError("relevance of the pixels is not finite")
    captions = [task.classes[int(label)] for label in shown.labels]
    draw_heatmaps(shown.pixels, captions, relevance, path, across=True)
