"""Heatmaps before and after pruning: what is explained, and what the picture says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from xaiprune.attribution import heatmaps
from xaiprune.config import PruneConfig
from xaiprune.data import Dataset
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PAPER, PRESETS
from xaiprune.report import heatmaps as drawing
from xaiprune.report.heatmaps import Explained, draw_heatmaps, write_heatmaps
from xaiprune.session import PruningSession
from xaiprune.units import find_units


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: object, **kwargs: object) -> None:
        figures.append(figure)
        save(figure, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def session_of(model: nn.Module, data: Dataset, **prune: object) -> PruningSession:
    data = replace(data, reference=data.reference.subset(slice(0, 20)))
    units = find_units(model, "filters")
    return PruningSession.of(
        model, data, units, unit_kind="filters", recipe=PAPER, prune=PruneConfig(rate=0.5, **prune)
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("compensate", ["none", "mean"])
def test_both_networks_are_explained_and_answer(
    small_cnn: nn.Module,
    digits_data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    compensate: str,
) -> None:
    session = session_of(small_cnn, digits_data, compensate=compensate)
    plan = session.plan_for(PAPER)
    found: dict[str, Explained] = {}
    monkeypatch.setattr(drawing, "draw_heatmaps", lambda *args, **_: found.update(args[3]))
    write_heatmaps(session, PRESETS["epsilon"], plan, tmp_path / "maps.png", count=3)
    dense, pruned = found.values()
    assert list(found) == ["dense", f"{100 * plan.n_removed / plan.n_units:.0f} % of filters removed"]
    shown = session.dataset.test.spread(3)
    images, labels = shown.tensor(), shown.labels
    smaller = session.remove(plan).model
    for side, model in ((dense, small_cnn), (pruned, smaller)):
        with torch.no_grad():
            torch.testing.assert_close(side.confidence, model(images).softmax(1), rtol=1e-3, atol=1e-5)
        preset = PRESETS["epsilon"]
        expected = heatmaps(model, images, labels, preset.composite, start=preset.start)
        torch.testing.assert_close(side.relevance, expected, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("across", [True, False])
def test_the_picture_says_classes_answers_and_scale(
    drawn: list[Figure], tmp_path: Path, across: bool
) -> None:
    relevance = torch.zeros(2, 4, 4)
    relevance[:, 0, 0], relevance[:, 1, 1] = 8.0, -2.0
    right, wrong = torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([[0.4, 0.6], [0.3, 0.7]])
    networks = {"dense": Explained(relevance, right), "half removed": Explained(relevance, wrong)}
    pixels = torch.zeros(2, 4, 4, 3, dtype=torch.uint8).numpy()
    draw_heatmaps(
        pixels, torch.tensor([0, 1]), ["tench", "cat"], networks, tmp_path / "maps.png", across=across
    )
    (figure,) = drawn
    titles = [axes.get_title().split("\n")[-1] for axes in figure.axes]
    assert {"tench", "cat", "tench, 90 %", "cat, 80 %", "cat, 60 %", "cat, 70 %"} == set(filter(None, titles))
    colours = {axes.get_title().split("\n")[-1]: axes.title.get_color() for axes in figure.axes}
    assert colours["cat, 60 %"] != colours["cat, 70 %"] == "black"
    shown = [axes.images[0] for axes in figure.axes if axes.images and axes.images[0].norm.vmin == -1]
    assert len(shown) == 4
    # Nothing is cut off, and a quarter of the largest has half of its colour.
    assert float(shown[0].get_array().max()) == 1.0
    assert float(shown[0].norm(-0.25)) == pytest.approx(0.25)
    *_, bar = figure.axes
    assert "square root" in bar.get_xlabel()
    assert [text.get_text() for text in bar.get_xticklabels()] == ["-100 %", "-25 %", "0 %", "25 %", "100 %"]


def test_relevance_that_is_not_finite_is_no_picture(
    small_cnn: nn.Module, digits_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(small_cnn, digits_data)
    plan = session.plan_for(PAPER)
    monkeypatch.setattr(drawing, "heatmaps", lambda *_, **__: torch.full((1, 4, 4), float("nan")))
    with pytest.raises(XaipruneError, match="not finite"):
        write_heatmaps(session, PAPER, plan, tmp_path / "maps.png", count=1)
    assert not list(tmp_path.iterdir())
