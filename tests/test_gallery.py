"""The composites that we publish: every task takes them, and their README says what was measured."""

import re
from pathlib import Path

import pandas as pd
import pytest

from xaiprune.attribution.lrp.composite_io import load_composite
from xaiprune.config import compose
from xaiprune.recipe import PAPER, load_recipe

GALLERY = Path(__file__).resolve().parents[1] / "studies" / "best"
FILES = sorted(GALLERY.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_published_composite_is_taken(path: Path) -> None:
    composite = load_composite(path)
    found = compose("prune", [f"composite={path}"])
    assert composite.layers
    assert found.recipe == str(path)
    recipe = load_recipe(path)
    assert recipe.composite == composite
    kind, rate = path.stem.split("-")[-2:]
    assert found.units.kind == recipe.units == kind.replace("_", "+", 1)
    assert found.prune.rate == recipe.rate == float(rate)
    assert recipe.prune == PAPER.prune  # as all were searched then
    assert "/home" not in path.read_text()
    assert "model.checkpoint" not in path.read_text()  # a command would tell somebody's folders


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_table_says_what_was_measured(path: Path) -> None:
    (row,) = [line for line in (GALLERY / "README.md").read_text().splitlines() if f"({path.name})" in line]
    frame = pd.read_csv(path.with_suffix(".csv")).query("part == 'target'").set_index("method")
    presets = frame[frame.kind == "preset"].top1
    best, taylor, dense = frame.loc["best found"], frame.loc["taylor"], frame.loc["dense"]
    said = [float(number) for number in re.findall(r"[\d.]+(?= %)", row.split("|", 4)[4])]
    assert said == [round(100 * value, 1) for value in (best.top1, taylor.top1, presets.max(), dense.top1)]
    assert f"[{100 * best.low:.1f}, {100 * best.high:.1f}]" in row
    assert f"[{100 * taylor.low:.1f}, {100 * taylor.high:.1f}]" in row
    assert f"{presets.idxmax().removeprefix('LRP ')} {100 * presets.max():.1f} %" in row


def test_there_are_some() -> None:
    assert len(FILES) >= 3
