"""``xaiprune attribute``: relevance of every unit and heatmaps for one recipe."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xaiprune.attribution import Scores, explanation
from xaiprune.cli.common.study_setup import say_what_changed
from xaiprune.cli.common.texts import attribute_texts, attributes_text
from xaiprune.config.tasks import AttributeConfig
from xaiprune.files import replacing
from xaiprune.report.heatmaps import write_heatmaps
from xaiprune.session import open_session
from xaiprune.units import UnitLayer

log = logging.getLogger(__name__)


def run(config: AttributeConfig) -> None:
    """Attribute the reference images; write a table, arrays and a picture. Of text, a page of its tokens."""
    if attributes_text(config):
        attribute_texts(config)
        return
    session = open_session(config)
    say_what_changed(config, session.network, session.dataset)
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
        written["heatmaps"] = write_heatmaps(
            session, recipe, session.plan_for(recipe, scores=scores), picture, count=config.attribute.heatmaps
        )
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
