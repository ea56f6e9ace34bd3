"""What stands in for labels: the dense network's predictions, in every ranking and every figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import xaiprune as xp
from xaiprune.comparison.methods import rank
from xaiprune.data import PredictedImages, as_dataset
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PAPER, PRESETS
from xaiprune.session import PruningSession, coverage, scored_by_agreement
from xaiprune.session import outcome as outcome_module
from xaiprune.testing.small_networks import CLASSES, SmallResNet
from xaiprune.units import find_units

IMAGES = torch.randn(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(24) % CLASSES
OTHERS = torch.randn(30, 3, 16, 16, generator=torch.Generator().manual_seed(1))
Of = Callable[..., PruningSession]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_module, "_SECONDS", 0.01)


@pytest.fixture
def network() -> SmallResNet:
    torch.manual_seed(0)
    found = SmallResNet().eval()
    with torch.inference_mode():  # an untrained network gives all images one class
        found.head.bias.data -= found(IMAGES).mean(0)
    return found


@pytest.fixture
def predictions(network: SmallResNet) -> torch.Tensor:
    with torch.inference_mode():
        return network(IMAGES).argmax(1).clone()


@pytest.fixture
def of(network: SmallResNet) -> Of:
    def make(data: Any, **options: Any) -> PruningSession:
        splits = {name: options.pop(name) for name in ("validation", "test") if name in options}
        dataset = as_dataset(data, outputs=CLASSES, **splits)
        units = find_units(network, "filters", example=IMAGES[:1])
        return PruningSession.of(network, dataset, units, **{"recipe": PAPER, **options})

    return make


def test_every_ranking_starts_at_the_predictions(of: Of, predictions: torch.Tensor) -> None:
    unlike = (predictions + 1) % CLASSES
    session, told = of((IMAGES, unlike), target="predicted"), of((IMAGES, predictions))
    without = of(IMAGES)
    recipe = PRESETS["epsilon"]
    for other in (session, without):
        assert torch.equal(other.dataset.reference.labels, predictions)
        found, expected = other.scores(recipe), told.scores(recipe)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        criteria = ["taylor", "fisher"]
        ours, theirs = (rank(s, "best", recipe, [], criteria, 1)[0] for s in (other, told))
        for mine, same in zip(ours, theirs, strict=True):
            assert all(torch.equal(mine.scores[name], same.scores[name]) for name in same.scores)
    right = of((IMAGES, unlike)).scores(recipe)
    assert any(not torch.equal(right[name], found[name]) for name in found)


def test_it_is_said_whose_relevance_it_is(of: Of) -> None:
    texts = [
        of(data, target=target).dataset.reference.targets
        for data, target in (((IMAGES, LABELS), "auto"), ((IMAGES, LABELS), "predicted"), (IMAGES, "auto"))
    ]
    assert texts == [
        "the labels",
        "the network's own predictions",
        "the network's own predictions (no labels)",
    ]
    with pytest.raises(
        XaipruneError, match=r"^the reference images have no labels: set attribution\.target="
    ):
        of(IMAGES, target="labels")


def test_studies_tell_them_apart(of: Of) -> None:
    one, other = (of((IMAGES, LABELS), target=target).dataset.reference for target in ("labels", "predicted"))
    assert other.fingerprint() == f"{one.fingerprint()}-predicted"


def test_agreement_is_scored_like_labels(of: Of, network: SmallResNet) -> None:
    session = of((IMAGES, LABELS), validation=OTHERS)
    with pytest.raises(XaipruneError, match="no labels, so there is no top-1"):
        session.dense_accuracy()
    agreeing = scored_by_agreement(session)
    assert agreeing.dense_accuracy().top1 == 1
    plan = session.plan_for(PRESETS["epsilon"], 0.4)
    small = session.remove(plan).model
    with torch.inference_mode():
        dense, smaller = network(OTHERS).argmax(1), small(OTHERS).argmax(1)
    expected = float((dense == smaller).float().mean())
    assert 0 < expected < 1
    assert agreeing.accuracy(agreeing.pruned(plan)).top1 == pytest.approx(expected)


def test_predictions_are_the_dense_networks_whenever_they_are_asked_for(of: Of, network: SmallResNet) -> None:
    session = of((IMAGES, LABELS), test=OTHERS)
    plan = session.plan_for(PRESETS["epsilon"], 0.4)
    masked = session.pruned(plan)
    assert masked.mask is not None
    assert session.accuracy(masked, session.dataset.test).top1 < 1  # the first use of its predictions
    with torch.inference_mode():
        assert torch.equal(session.dataset.test.labels, network(OTHERS).argmax(1))


def test_few_covered_outputs_are_pointed_out(of: Of) -> None:
    data = as_dataset((IMAGES, LABELS), outputs=51)
    assert coverage(data) == "5 of 51 classes have references: expect losses elsewhere (24 images)"
    assert coverage(as_dataset((IMAGES, LABELS), outputs=50)) is None
    selected = replace(data, task=xp.Task(data.task.classes[:5], tuple(range(5))))
    assert coverage(selected) is None


@pytest.mark.parametrize(
    "data", [IMAGES, DataLoader(TensorDataset(IMAGES), batch_size=10)], ids=["tensor", "loader"]
)
def test_one_call_without_labels(network: SmallResNet, predictions: torch.Tensor, data: Any) -> None:
    outcome = xp.prune(network, data, 0.3, test=OTHERS)
    told = xp.prune(network, (IMAGES, predictions), 0.3)
    assert outcome.plan.removed == told.plan.removed
    text = str(outcome)
    assert "relevance of the network's own predictions (no labels)\n" in text
    assert "agreement with the dense network on the test split 100.0%" in text
    assert "top-1" not in text
    assert "relevance of the labels\n" in repr(told)
    with pytest.raises(XaipruneError, match=r"attribution\.target must be one of auto, labels, predicted"):
        xp.prune(network, data, 0.3, target="guessed")


def test_one_call_with_labels_and_predictions(network: SmallResNet, predictions: torch.Tensor) -> None:
    outcome = xp.prune(network, (IMAGES, LABELS), 0.3, target="predicted")
    assert isinstance(outcome.session.dataset.reference, PredictedImages)
    assert outcome.plan.removed == xp.prune(network, (IMAGES, predictions), 0.3).plan.removed


def test_calibration_images_reach_the_dense_network(network: SmallResNet) -> None:
    loader = DataLoader(TensorDataset(OTHERS), batch_size=7)
    for given in (OTHERS, loader, TensorDataset(OTHERS)):
        outcome = xp.prune(network, (IMAGES, LABELS), 0.3, calibration=given, compensate="linear")
        dense = outcome.session.dense
        for _ in range(2):
            assert torch.equal(torch.cat([*dense.statistics_images.open()]), OTHERS)
    few = xp.prune(network, (IMAGES, LABELS), 0.3, calibration=loader, calibration_images=4)
    assert len(few.session.dense.statistics_images) == 4
    without = xp.prune(network, (IMAGES, LABELS), 0.3).session.dense
    assert torch.equal(without.statistics_images, IMAGES)
    for settings in ({"calibration_root": "."}, {"calibration_images": 3}):
        with pytest.raises(XaipruneError, match="give calibration=images or a loader"):
            xp.prune(network, (IMAGES, LABELS), 0.3, **settings)  # type: ignore[arg-type]


def test_a_fit_on_fewer_images_than_channels_is_told(network: SmallResNet) -> None:
    few = xp.prune(network, (IMAGES[:4], LABELS[:4]), 0.3, units="inner_filters", compensate="linear")
    widest = max(own.channels for own in few.session.dense.inputs.values())
    assert widest > 4
    assert f"fit       4 images for the {widest} channels that" in repr(few)
    many = OTHERS.repeat(1 + widest // len(OTHERS), 1, 1, 1)
    enough = xp.prune(
        network, (IMAGES[:4], LABELS[:4]), 0.3, units="inner_filters", compensate="linear", calibration=many
    )
    assert "fit  " not in repr(enough)
    without = xp.prune(network, (IMAGES[:4], LABELS[:4]), 0.3, units="inner_filters", compensate="none")
    assert "fit  " not in repr(without)
