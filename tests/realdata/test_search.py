"""The search task from photographs to the table, on the smallest of the real networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from xaiprune.cli import search
from xaiprune.config import compose

from .networks import overrides

pytestmark = pytest.mark.realdata


def test_two_trials_end_with_the_table_and_the_files(
    shared_data: Path, session_cache: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        *overrides("vgg11_bn_64", shared_data, session_cache),
        "data.reference_per_class=1",
        "data.validation_per_class=2",
        "data.test_per_class=1",
        "prune.rate=0.3",
        "recipe=paper",
        *("study.n_trials=1", "study.presets=[taylor]", "prune.order=score", "prune.compensate=none"),
        f"study.storage=sqlite:///{tmp_path / 'study.db'}",
        f"output_dir={tmp_path / 'results'}",
        "device=cpu",
    ]
    search.run(compose("search", command))
    shown = capsys.readouterr().out
    assert "0 of 1 sampled trials done (0 of 1 presets)" in shown
    assert "vgg11_bn: 30 % of 7,360 filters removed, 10 test images, chance 10.0 %" in shown
    assert {p.name for p in (tmp_path / "results").iterdir()} >= {
        "best.yaml",
        "comparison.csv",
        "comparison.json",
        "curves.png",
    }
    assert yaml.safe_load((tmp_path / "results/best.yaml").read_text())["schema"] == "xaiprune/recipe/1"
    search.run(compose("search", command))
    assert "1 of 1 sampled trials done (1 presets before)" in capsys.readouterr().out
