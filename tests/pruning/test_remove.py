"""Removed networks compute what masked ones do, on every network of the list."""

import copy
import gc

import pytest
import timm
import torch
from torch import nn

from tests.pruning.networks import IDS, NETWORKS, build
from xaiprune.errors import XaipruneError
from xaiprune.pruning import couple, make_plan, masked, remove, remove_with_report
from xaiprune.units import find_units


def random_plan(units, rate, groups=(), seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = {layer.name: torch.rand(layer.units, generator=generator) for layer in units}
    return make_plan(scores, units, rate, groups=groups)


def logits(model, images, plan=None, units=()):
    with torch.no_grad(), masked(model, plan or {}, units):
        return model(images)


@pytest.mark.parametrize(("library", "name", "arguments", "side", "kind"), NETWORKS, ids=IDS)
def test_removed_equals_masked_and_trains(library, name, arguments, side, kind):
    model = build(library, name, arguments)
    images = torch.randn(2, 3, side, side)
    units = find_units(model, kind, example=images[:1])
    plan = random_plan(units, 0.4)
    state = copy.deepcopy(model.state_dict())
    found = remove_with_report(model, plan, units, images[:1])
    expected = logits(model, images, plan, units)
    scale = max(1.0, float(expected.abs().max()))
    assert (logits(found.model, images) - expected).abs().max() <= 1e-5 * scale
    assert sum(found.removed.values()) + sum(n for n, _ in found.masked.values()) == plan.n_removed
    assert found.removed, "nothing got smaller"
    sizes = [sum(p.numel() for p in m.parameters()) for m in (model, found.model)]
    assert sizes[1] < sizes[0]
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    found.model.train()
    optimizer = torch.optim.SGD(found.model.parameters(), lr=1e-3)
    output = found.model(images)
    output = output[0] if isinstance(output, tuple) else output  # a distilled network has two in training
    output.square().mean().backward()
    optimizer.step()
    assert all(p.isfinite().all() for p in found.model.parameters())


@pytest.mark.parametrize("name", ["resnet18", "resnetv2_50", "mobilenetv3_large_100"])
def test_coupled_groups_leave_the_tensors(name):
    model = build("timm", name, {})
    images = torch.randn(2, 3, 64, 64)
    units = find_units(model, "filters", example=images[:1])
    groups = couple(model, units, images[:1])
    assert groups
    plan = random_plan(units, 0.4, groups)
    found = remove_with_report(model, plan, units, images[:1], coupled="group")
    assert not found.masked
    expected = logits(model, images, plan, units)
    assert (logits(found.model, images) - expected).abs().max() <= 1e-5 * max(1, expected.abs().max())


def test_layers_can_lose_different_numbers_of_heads():
    model = build("timm", "vit_tiny_patch16_224", {"img_size": 32, "depth": 3})
    units = find_units(model, "heads")
    images = torch.randn(2, 3, 32, 32)
    plan = {"blocks.0.attn": (1,), "blocks.2.attn": (0, 2)}
    small = remove(model, plan, units)
    assert [block.attn.num_heads for block in small.blocks] == [2, 3, 1]
    assert small.blocks[2].attn.qkv.weight.shape == (3 * 64, 192)
    assert small.blocks[2].attn.proj.weight.shape == (192, 64)
    torch.testing.assert_close(logits(small, images), logits(model, images, plan, units))


def test_talking_heads_are_only_masked_with_a_reason():
    model = build("timm", "cait_xxs24_224", {"img_size": 32, "depth": 1})
    units = find_units(model, "heads")
    found = remove_with_report(model, {"blocks.0.attn": (1,)}, units)
    assert "read one another" in found.masked["blocks.0.attn"][1]
    assert "read one another" in found.summary()


def test_summary_says_why_units_are_only_masked():
    model = build("timm", "resnet18", {})
    units = find_units(model, "filters", example=torch.zeros(1, 3, 64, 64))
    found = remove_with_report(model, random_plan(units, 0.3), units, torch.zeros(1, 3, 64, 64))
    assert "added to another layer's output" in found.summary()
    assert found.summary().startswith("removed ")


def test_frozen_parameters_stay_frozen():
    model = timm.create_model("resnet18").eval().requires_grad_(False)
    example = torch.zeros(1, 3, 64, 64)
    units = find_units(model, "inner_filters", example=example)
    small = remove(model, random_plan(units, 0.5), units, example)
    assert not any(parameter.requires_grad for parameter in small.parameters())


def test_a_constant_behind_a_sigmoid_moves_into_the_bias():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Sigmoid(), nn.Conv2d(4, 5, 1, bias=False), nn.Flatten(), nn.Linear(80, 2)
    ).eval()
    images = torch.randn(2, 3, 6, 6)
    units = find_units(model, "filters", example=images[:1])
    small = remove(model, {"0": (1, 2)}, units, images[:1])
    assert small[2].bias is not None
    torch.testing.assert_close(logits(small, images), logits(model, images, {"0": (1, 2)}, units))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"conv9": (0,)}, "conv9 is not a unit layer"),
        ({"layer1.0.conv1": tuple(range(64))}, "leave nothing of layer1.0.conv1; raise prune.min_units"),
        ({"layer1.0.conv1": (64,)}, "there is no unit 64"),
    ],
)
def test_refusals(plan, message):
    model = timm.create_model("resnet18").eval()
    example = torch.zeros(1, 3, 64, 64)
    units = find_units(model, "filters", example=example)
    with pytest.raises(XaipruneError, match=message):
        remove(model, plan, units, example)
    with pytest.raises(XaipruneError, match="choose mask or group"):
        remove_with_report(model, {}, units, example, coupled="both")


def test_a_removed_network_is_freed_without_the_collector(small_cnn):
    units = find_units(small_cnn, "filters")
    plan = random_plan(units, 0.5)
    remove_with_report(small_cnn, plan, units)  # fills caches
    gc.collect()
    gc.disable()
    try:
        before = _alive()
        remove_with_report(small_cnn, plan, units)
        assert _alive() == before
    finally:
        gc.enable()


def _alive():
    """Modules and tensors that exist."""
    kinds = [type(thing) for thing in gc.get_objects()]
    return sum(issubclass(kind, torch.nn.Module | torch.Tensor) for kind in kinds)
