"""``xaiprune attribute``: relevance of every unit and heatmaps for one recipe."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from xaiprune.attribution import Scores, explanation, heatmaps
from xaiprune.cli.common.texts import attribute_texts, attributes_text
from xaiprune.config.tasks import AttributeConfig
from xaiprune.files import replacing
from xaiprune.pruning import masked
from xaiprune.recipe import Recipe
from xaiprune.report.heatmaps import draw_heatmaps
from xaiprune.session import PruningSession, open_session
from xaiprune.units import UnitLayer

log = logging.getLogger(__name__)


def run(config: AttributeConfig) -> None:
    """Attribute the reference images; write a table, arrays and a picture. Of text, a page of its tokens."""
    if attributes_text(config):
        attribute_texts(config)
        return
    session = open_session(config)
    recipe = session.recipe
    print(explanation(recipe.composite, session.layers))
    (relevance,) = session.relevances([recipe])
    scores = session.scores(recipe, relevance)
    folder = Path(config.output_dir or "outputs").absolute()
    written = {"units": write_table(scores, session.units, folder / "relevance.csv")}
    arrays = folder / "relevance.npz"
    with replacing(arrays) as temporary:
        arrays_by_layer: dict[str, Any] = {name: sums.numpy() for name, sums in relevance.sums.items()}
        np.savez_compressed(temporary, **arrays_by_layer)
    written["arrays"] = arrays
    if config.attribute.heatmaps and not len(session.dataset.test):
        log.info("no heatmaps: there are no test images (data.test_root)")
    elif config.attribute.heatmaps:
        picture = folder / "heatmaps.png"
        written["heatmaps"] = write_heatmaps(session, recipe, scores, config.attribute.heatmaps, picture)
    print()
    for name, path in written.items():
        print(f"{name:<9} {path}")


def write_table(scores: Scores, units: Sequence[UnitLayer], path: Path) -> Path:
    """One row per unit: layer, index, score and rank among all units (0: removed first)."""
    frames = [
        pd.DataFrame(
            {"layer": unit.name, "kind": unit.kind, "unit": range(unit.units), "relevance": scores[unit.name]}
        )
        for unit in units
    ]
    table = pd.concat(frames, ignore_index=True)
    table["rank"] = table["relevance"].rank(method="first").astype(int) - 1
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
    return path


def write_heatmaps(session: PruningSession, recipe: Recipe, scores: Scores, count: int, path: Path) -> Path:
    """Heatmaps of test images, spread over the classes, before and after pruning as ``prune`` says."""
    test, task = session.dataset.test, session.task
    shown = test.spread(count)
    images = shown.tensor(device=session.device)

    def maps(model: nn.Module) -> Tensor:
        return heatmaps(model, images, shown.labels, recipe.composite, task=task, start=recipe.start)

    plan = session.plan_for(recipe, scores=scores)
    relevance = {"dense": maps(session.model)}
    removed = f"{plan.n_removed / plan.n_units:.0%} of {session.unit_kind}"
    if session.only_removes:
        with masked(session.model, plan, session.units):
            relevance[f"{removed} masked"] = maps(session.model)
    else:
        relevance[f"{removed} removed"] = maps(session.remove(plan).model)
    captions = [task.classes[int(label)] for label in shown.labels]
    return draw_heatmaps(shown.pictures(), captions, relevance, path)
