"""Masks: exact zeros, nothing changed, nested, unwound."""

import pytest
import timm
import torch
from torch import nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning import make_plan, masked
from xaiprune.units import UnitLayer, find_units


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(80, 2)
    ).eval()


@pytest.fixture(scope="module")
def units(net):
    return find_units(net, "filters", example=torch.zeros(1, 3, 8, 8))


def watch(module):
    seen = []
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    return seen, handle


def test_zero_after_batchnorm_exactly(net, units):
    net[1].bias.data.fill_(3.0)
    seen, handle = watch(net[2])
    with masked(net, {"0": (1, 3)}, units) as same:
        assert same is net
        net(torch.full((1, 3, 8, 8), torch.inf))  # infinity and NaN do not get through either
        net(torch.randn(2, 3, 8, 8))
    handle.remove()
    for tensor in seen:
        assert (tensor[:, [1, 3]] == 0).all()
    assert (seen[1][:, [0, 2]] != 0).all()


def test_nothing_changes_and_exceptions_unwind(net, units):
    images = torch.randn(2, 3, 8, 8)
    before, state = net(images), {k: v.clone() for k, v in net.state_dict().items()}
    with masked(net, {"0": (0,)}, units):
        assert not torch.equal(net(images), before)
    with pytest.raises(RuntimeError), masked(net, {"0": (0,)}, units):
        net(images[:, :2])
    assert torch.equal(net(images), before)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_masks_nest(net, units):
    images = torch.randn(2, 3, 8, 8)
    with masked(net, {"0": (0, 1), "3": (2,)}, units):
        together = net(images)
    with masked(net, {"0": (0,)}, units):
        outer = net(images)
        with masked(net, {"0": (1,), "3": (2,)}, units):
            assert torch.equal(net(images), together)
        assert torch.equal(net(images), outer)


def test_gradients_stop_at_zeroed_units(net, units):
    with masked(net, {"0": (0,)}, units):
        net(torch.randn(2, 3, 8, 8)).sum().backward()
    assert (net[0].weight.grad[0] == 0).all()
    assert (net[0].weight.grad[1] != 0).any()
    net.zero_grad()


def test_heads_of_timm_and_of_torch():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True).eval()
    tokens = torch.randn(2, 5, 16)
    units = [UnitLayer("self_attn", "heads", 4, "self_attn.out_proj", "input", -1, 4)]
    weight = layer.self_attn.out_proj.weight
    with torch.no_grad():
        before = layer(tokens)
        with masked(layer, {"self_attn": (1, 2)}, units):
            found = layer(tokens)
        assert layer.self_attn.out_proj.weight is weight
        assert torch.equal(layer(tokens), before)
        weight[:, 4:12] = 0
        torch.testing.assert_close(found, layer(tokens))

    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1).eval()
    seen, handle = watch(model.blocks[0].attn.proj_drop)
    heads = find_units(model, "heads")
    with torch.no_grad(), masked(model, {"blocks.0.attn": (0, 1, 2)}, heads):
        model(torch.randn(1, 3, 32, 32))
    handle.remove()
    torch.testing.assert_close(seen[-1], model.blocks[0].attn.proj.bias.expand_as(seen[-1]))


def test_a_plan_with_nothing_to_remove_is_no_mask(net, units):
    plan = make_plan({"0": torch.rand(4), "3": torch.rand(5)}, units, 0)
    with masked(net, plan, units):
        assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("removed", "message"),
    [({"9": (0,)}, "9 is not a unit layer"), ({"0": (4,)}, "0 has 4 units; there is no unit 4")],
)
def test_refusals(net, units, removed, message):
    with pytest.raises(XaipruneError, match=message), masked(net, removed, units):
        pass
