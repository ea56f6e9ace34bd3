"""Applying a plan is compensation, removal and recalibration, in this order."""

import importlib

import pytest
import torch

from xaiprune.errors import XaipruneError
from xaiprune.pruning import (
    BatchNormStatistics,
    apply_plan,
    compensate,
    masked,
    recalibrate_bn_,
    statistics_of,
)
from xaiprune.units import find_units


@pytest.fixture
def images():
    return torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def units(small_cnn):
    return find_units(small_cnn, "inner_filters", example=torch.zeros(1, 3, 32, 32))


@pytest.fixture
def plan(units):
    return {layer.name: tuple(range(0, layer.units, 3)) for layer in units}


@torch.no_grad()
def logits(model, images):
    return model(images)


@pytest.mark.parametrize("method", ["none", "mean", "linear"])
@pytest.mark.parametrize("sequential", [True, False])
@pytest.mark.parametrize("bn", ["keep", "recalibrate"])
def test_it_is_the_masked_compensated_recalibrated_network(
    small_cnn, units, plan, images, method, sequential, bn
):
    new = compensate(small_cnn, plan, units, images, method, sequential=sequential)
    with masked(new, plan, units):
        if bn == "recalibrate":
            recalibrate_bn_(new, images, 10, BatchNormStatistics.of(small_cnn, images, 10))
        expected = logits(new, images)
    result = apply_plan(
        small_cnn,
        plan,
        units,
        images,
        compensate=method,
        sequential=sequential,
        statistics=None if sequential else statistics_of(small_cnn, units, images),
        bn=bn,
        batch_size=10,
    )
    torch.testing.assert_close(logits(result.model, images), expected, atol=1e-3, rtol=1e-3)
    assert sum(result.removed.values()) == sum(map(len, plan.values()))
    assert not result.model.training


def test_where_nothing_is_removed_nothing_changes(small_cnn, units, images):
    result = apply_plan(small_cnn, {}, units, images, compensate="linear", bn="recalibrate")
    assert torch.equal(logits(result.model, images), logits(small_cnn, images))


def test_the_network_itself_stays_as_it_was(small_cnn, units, plan, images):
    before = {name: tensor.clone() for name, tensor in small_cnn.state_dict().items()}
    apply_plan(small_cnn, plan, units, images, compensate="linear", bn="recalibrate")
    assert all(torch.equal(tensor, before[name]) for name, tensor in small_cnn.state_dict().items())


def test_without_the_check_the_same_network(small_cnn, units, plan, images, monkeypatch):
    checked = apply_plan(small_cnn, plan, units, images)

    def fail(*_):
        raise AssertionError("the check ran")

    module = importlib.import_module("xaiprune.pruning.removal.cut")  # the package's name is the function's
    monkeypatch.setattr(module._Work, "difference", fail)
    unchecked = apply_plan(small_cnn, plan, units, images, check=False)
    assert torch.equal(logits(checked.model, images), logits(unchecked.model, images))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"bn": "again"}, "prune.bn=again is unknown; choose one of keep, recalibrate"),
        ({"compensate": "median"}, "prune.compensate=median is unknown"),
        ({"coupled": "all"}, "prune.coupled=all is unknown"),
    ],
)
def test_unknown_settings(small_cnn, units, plan, images, setting, words):
    with pytest.raises(XaipruneError, match=words):
        apply_plan(small_cnn, plan, units, images, **setting)
