"""``xaiprune attribute``: relevance of every unit and heatmaps for one composite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from xaiprune.attribution import Scores
from xaiprune.attribution.heatmap import heatmaps
from xaiprune.attribution.lrp.explain import explanation
from xaiprune.cli.pruning import Pruning
from xaiprune.config.tasks import AttributeConfig
from xaiprune.files import replacing
from xaiprune.pruning import masked
from xaiprune.recipe.chosen import chosen_composite, chosen_start
from xaiprune.units import UnitLayer


def run(config: AttributeConfig) -> None:
    """Attribute the reference images; write a table, arrays and a picture."""
    pruning = Pruning.of(config)
    units = pruning.units
    print(explanation(chosen_composite(config.composite), pruning.layers))
    relevance = pruning.relevance(pruning.opened.model)
    scores = pruning.scores_of(relevance)
    folder = Path(config.output_dir or "outputs").absolute()
    written = {"units": write_table(scores, units, folder / "relevance.csv")}
    arrays = folder / "relevance.npz"
    with replacing(arrays) as temporary:
        arrays_by_layer: dict[str, Any] = {name: sums.numpy() for name, sums in relevance.sums.items()}
        np.savez_compressed(temporary, **arrays_by_layer)
    written["arrays"] = arrays
    if config.attribute.heatmaps:
        picture = folder / "heatmaps.png"
        written["heatmaps"] = write_heatmaps(config, pruning, scores, picture)
    print()
    for name, path in written.items():
        print(f"{name:<9} {path}")


def write_table(scores: Scores, units: Sequence[UnitLayer], path: Path) -> Path:
    """One row a unit: layer, index, score and rank among all units (0: goes first)."""
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


def write_heatmaps(config: AttributeConfig, pruning: Pruning, scores: Scores, path: Path) -> Path:
    """Heatmaps of test images, spread over the classes, before and after pruning as ``prune`` says."""
    from xaiprune.report.heatmaps import draw_heatmaps

    opened, prune = pruning.opened, config.prune
    test, task = opened.data.test, opened.data.task
    count = min(config.attribute.heatmaps, len(test))
    shown = test.subset(np.linspace(0, len(test) - 1, count).round().astype(int))
    images = shown.tensor()

    def maps(model: nn.Module) -> Tensor:
        return heatmaps(
            model,
            images,
            shown.labels,
            chosen_composite(config.composite),
            task=task,
            start=chosen_start(config.attribution),
        )

    plan = pruning.plan((lambda _: scores) if prune.rounds == 1 else None)
    relevance = {"dense": maps(opened.model)}
    gone = f"{plan.n_removed / plan.n_units:.0%} of {config.units.kind}"
    if prune.compensate == "none" and prune.bn == "keep":
        with masked(opened.model, plan, pruning.units):
            relevance[f"{gone} masked"] = maps(opened.model)
    else:
        relevance[f"{gone} removed"] = maps(pruning.carried_out(plan).model)
    captions = [task.classes[int(label)] for label in shown.labels]
    return draw_heatmaps(shown.pixels, captions, relevance, path)
