"""Neurons of MLPs that are more than two linear layers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.pruning.test_remove import logits
from xaiprune.pruning import remove_with_report
from xaiprune.units import find_units

IMAGES = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def gated(model, x):
    return F.silu(model.gate(x)) * model.value(x)


def depthwise(model, x):
    hidden = model.value(x)
    square = hidden.transpose(1, 2).unflatten(2, (4, 4))
    return F.gelu(model.conv(square).flatten(2).transpose(1, 2))


class Mlp(nn.Module):
    def __init__(self, inside):
        super().__init__()
        self.inside, self.embed = inside, nn.Conv2d(3, 6, 2, 2)
        self.gate, self.value, self.out = nn.Linear(6, 10), nn.Linear(6, 10), nn.Linear(10, 6)
        self.conv, self.head = nn.Conv2d(10, 10, 3, padding=1, groups=10), nn.Linear(6, 4)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.head((x + self.out(self.inside(self, x))).mean(1))


@pytest.mark.parametrize(("inside", "name"), [(gated, "gate"), (depthwise, "value")])
def test_hidden_units_of_mlps_that_are_more_than_two_layers(inside, name):
    torch.manual_seed(0)
    model = Mlp(inside).eval()
    units = find_units(model, "neurons", example=IMAGES[:1])
    assert [(layer.name, layer.units, layer.removable) for layer in units] == [(name, 10, True)]
    plan = {name: (0, 3, 8)}
    found = remove_with_report(model, plan, units, IMAGES[:1])
    assert found.model.out.weight.shape == (6, 7)
    if inside is gated:
        assert found.model.gate.weight.shape == found.model.value.weight.shape == (7, 6)
    else:
        assert found.model.conv.weight.shape == (7, 1, 3, 3)
    torch.testing.assert_close(logits(found.model, IMAGES), logits(model, IMAGES, plan, units))


def test_pointwise_convolutions_that_widen_are_an_mlp_and_others_are_not():
    def block(hidden):
        return [
            nn.Conv2d(6, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.GELU(),
            nn.Conv2d(hidden, 6, 1),
            nn.ReLU(),
        ]

    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), *block(12), *block(6), *block(3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    model.append(nn.Linear(6, 4))
    units = find_units(model.eval(), "neurons", example=IMAGES[:1])
    assert [(layer.name, layer.tap, layer.units, layer.kind) for layer in units] == [
        ("1", "2", 12, "neurons")
    ]
    both = find_units(model, "neurons+inner_filters", example=IMAGES[:1])
    assert [(layer.name, layer.kind) for layer in both if layer.name == "1"] == [("1", "neurons")]
    plan = {"1": (2, 5, 11)}
    found = remove_with_report(model, plan, units, IMAGES[:1])
    assert found.removed == {"1": 3}
    torch.testing.assert_close(logits(found.model, IMAGES), logits(model, IMAGES, plan, units))
