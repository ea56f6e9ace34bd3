"""Taps, order, patterns and refusals."""

import pytest
import timm
import torch
from torch import nn

from xaiprune.errors import XaipruneError
from xaiprune.units import default_example, find_units


@pytest.fixture(scope="module")
def resnet():
    return timm.create_model("resnet18", num_classes=5).eval()


@pytest.fixture(scope="module")
def vit():
    return timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=5).eval()


def test_filters_are_read_after_their_batchnorm_in_execution_order(resnet):
    layers = find_units(resnet, "filters", example=torch.zeros(1, 3, 64, 64))
    assert [(layer.name, layer.tap) for layer in layers[:3]] == [
        ("conv1", "bn1"),
        ("layer1.0.conv1", "layer1.0.bn1"),
        ("layer1.0.conv2", "layer1.0.bn2"),
    ]
    assert {layer.where for layer in layers} == {"output"}
    assert "fc" not in {layer.name for layer in layers}


def test_heads_are_read_at_the_projections_input(vit):
    first = find_units(vit, "heads")[0]
    assert (first.name, first.tap, first.where) == ("blocks.0.attn", "blocks.0.attn.proj", "input")
    assert (first.units, first.width, first.dim) == (3, 64, -1)


def test_torchs_own_attention():
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(3, 16, 8, 8)
            self.block = layer
            self.head = nn.Linear(16, 3)

        def forward(self, x):
            return self.head(self.block(self.patch(x).flatten(2).transpose(1, 2)).mean(1))

    net = Net().eval()
    found = find_units(net, "heads", example=torch.zeros(1, 3, 16, 16))
    assert [(one.name, one.tap, one.units, one.width) for one in found] == [
        ("block.self_attn", "block.self_attn.out_proj", 4, 4)
    ]


def test_neurons_and_heads_come_in_execution_order(vit):
    names = [layer.name for layer in find_units(vit, "neurons+heads")]
    assert names == ["blocks.0.attn", "blocks.0.mlp.fc1", "blocks.1.attn", "blocks.1.mlp.fc1"]


def test_a_distilled_networks_two_heads_are_both_classifiers():
    model = timm.create_model("deit_tiny_distilled_patch16_224", img_size=32, depth=1).eval()
    names = [layer.name for layer in find_units(model, "linear_outputs")]
    assert names == ["blocks.0.mlp.fc1", "blocks.0.mlp.fc2"]


def test_include_and_exclude(resnet):
    example = torch.zeros(1, 3, 64, 64)
    found = find_units(resnet, "filters", include=["layer4.*"], exclude=["*.downsample.*"], example=example)
    assert [layer.name for layer in found] == [
        "layer4.0.conv1",
        "layer4.0.conv2",
        "layer4.1.conv1",
        "layer4.1.conv2",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "heads"}, "ResNet has no heads; it has filters, inner_filters"),
        ({"kind": "channels"}, "units=channels is unknown"),
        ({"kind": "filters", "include": ["layer9.*"]}, "units.include pattern 'layer9.*' matches no"),
        ({"kind": "filters", "exclude": ["*"]}, "leave no unit layer"),
        ({"kind": "filters", "example": torch.zeros(1, 5, 64, 64)}, "does not run on an input of shape"),
    ],
)
def test_refusals_name_the_way_out(resnet, arguments, message):
    with pytest.raises(XaipruneError, match=message.replace("*", r"\*").replace("[", r"\[")):
        find_units(resnet, **{"example": torch.zeros(1, 3, 64, 64), **arguments})


def test_nothing_of_the_network_changes(resnet):
    before = {name: tensor.clone() for name, tensor in resnet.state_dict().items()}
    resnet.train()
    find_units(resnet, "filters", example=torch.zeros(1, 3, 64, 64))
    assert all(module.training for module in resnet.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in resnet.modules())
    resnet.eval()
    assert all(torch.equal(tensor, before[name]) for name, tensor in resnet.state_dict().items())


def test_default_example_has_the_networks_size(vit):
    assert default_example(timm.create_model("resnet18")).shape == (1, 3, 224, 224)
    assert default_example(vit).shape == (1, 3, 32, 32)
