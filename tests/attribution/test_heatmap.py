"""Relevance of pixels, and the task that shows it."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import torch

from xaiprune.attribution.heatmap import heatmaps
from xaiprune.attribution.lrp import Composite, Epsilon, Flat, Gamma, Match, save_composite
from xaiprune.cli.common.application import run_task
from xaiprune.testing.small_networks import NETWORKS, images_and_labels


def test_heatmaps_of_any_batch_size_add_up_to_the_logit_without_biases() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3, bias=False),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(5 * 36, 4, bias=False),
    ).eval()
    images, labels = torch.randn(5, 3, 8, 8), torch.tensor([0, 1, 2, 3, 0])
    flat_input = Composite(Gamma(0.25), ((Match(names=("0",)), Flat()),))
    for composite in (Composite(Epsilon(1e-9)), flat_input):
        found = heatmaps(model, images, labels, composite, batch_size=2)
        assert found.shape == (5, 8, 8)
        logits = model(images).gather(1, labels[:, None])[:, 0]
        torch.testing.assert_close(found.sum((1, 2)), logits, rtol=1e-3, atol=1e-4)


def test_heatmaps_leave_the_model_as_it_was() -> None:
    for build, _ in NETWORKS.values():
        model = build()
        images, labels = images_and_labels()
        before = model(images)
        heatmaps(model, images, labels, Composite())
        assert torch.equal(model(images), before)


def test_the_task_writes_table_arrays_and_picture(session_cache: Path, tmp_path: Path) -> None:
    file = save_composite(tmp_path / "mine.yaml", Composite(Gamma(0.1), name="mine"))
    overrides = [
        "model=digits_vgg",
        "data.reference_per_class=1",
        f"composite.file={file}",
        f"output_dir={tmp_path / 'out'}",
        "attribute.heatmaps=2",
        "prune.rate=0.3",
    ]
    run_task("attribute", overrides)
    table = pd.read_csv(tmp_path / "out" / "relevance.csv")
    assert sorted(table["rank"]) == list(range(len(table)))
    arrays = np.load(tmp_path / "out" / "relevance.npz")
    assert set(arrays) == set(table["layer"])
    assert all(values.shape[0] == 10 for values in arrays.values())
    picture = matplotlib.image.imread(tmp_path / "out" / "heatmaps.png")
    assert picture.shape[0] > 300
    assert picture.std() > 0.05
