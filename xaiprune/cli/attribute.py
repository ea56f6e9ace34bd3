"""``xaiprune attribute``: relevance of every unit and heatmaps for one composite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from xaiprune.attribute import Scores, aggregate, attribute
from xaiprune.attribute.chosen import chosen_aggregation, chosen_composite, chosen_start
from xaiprune.attribute.heatmap import heatmaps
from xaiprune.attribute.lrp import Composite
from xaiprune.attribute.lrp.explain import explanation
from xaiprune.attribute.lrp.recording import trace_layers
from xaiprune.cli.evaluate import open_setup
from xaiprune.config.tasks import AttributeConfig
from xaiprune.files import replacing
from xaiprune.models import Setup
from xaiprune.prune import make_plan, masked
from xaiprune.units import UnitLayer, find_units


def run(config: AttributeConfig) -> None:
    """Attribute the reference images; write a table, arrays and a picture."""
    opened = open_setup(config)
    example = opened.example()
    units = find_units(
        opened.model, config.units.kind, config.units.include, config.units.exclude, example=example
    )
    composite = chosen_composite(config.composite)
    print(explanation(composite, trace_layers(opened.model, example)))
    reference = opened.data.reference
    relevance = attribute(
        opened.model,
        reference.tensor(),
        reference.labels,
        units,
        composite,
        task=opened.data.task,
        start=chosen_start(config.attribution),
        batch_size=config.attribution.batch_size,
    )
    scores = aggregate(relevance, chosen_aggregation(config.attribution))
    folder = Path(config.output_dir or "outputs").absolute()
    written = {"units": write_table(scores, units, folder / "relevance.csv")}
    arrays = folder / "relevance.npz"
    with replacing(arrays) as temporary:
        arrays_by_layer: dict[str, Any] = {name: sums.numpy() for name, sums in relevance.sums.items()}
        np.savez_compressed(temporary, **arrays_by_layer)
    written["arrays"] = arrays
    if config.attribute.heatmaps:
        picture = folder / "heatmaps.png"
        written["heatmaps"] = write_heatmaps(config, opened, composite, scores, units, picture)
    print()
    for name, path in written.items():
        print(f"{name:<9} {path}")


def write_table(scores: Scores, units: list[UnitLayer], path: Path) -> Path:
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


def write_heatmaps(
    config: AttributeConfig,
    opened: Setup,
    composite: Composite,
    scores: Scores,
    units: list[UnitLayer],
    path: Path,
) -> Path:
    """Heatmaps of test images, spread over the classes, before and after pruning at ``prune.rate``."""
    from xaiprune.report.heatmaps import draw_heatmaps

    test, task = opened.data.test, opened.data.task
    count = min(config.attribute.heatmaps, len(test))
    shown = test.subset(np.linspace(0, len(test) - 1, count).round().astype(int))
    images = shown.tensor()

    def maps() -> Tensor:
        return heatmaps(
            opened.model,
            images,
            shown.labels,
            composite,
            task=task,
            start=chosen_start(config.attribution),
        )

    prune = config.prune
    plan = make_plan(scores, units, prune.rate, scope=prune.scope, floor=prune.floor)
    relevance = {"dense": maps()}
    with masked(opened.model, plan, units):
        relevance[f"{prune.rate:.0%} of {config.units.kind} masked"] = maps()
    captions = [task.classes[int(label)] for label in shown.labels]
    return draw_heatmaps(shown.pixels, captions, relevance, path)
