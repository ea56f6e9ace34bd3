"""``units=auto``: what is removed of a network that nobody has named units for."""

import pytest
import timm
import torch
from torch import nn

from xaiprune.errors import XaipruneError
from xaiprune.units import auto_kind, find_units, unit_costs

KINDS = {
    "resnet10t": "inner_filters",
    "vgg11": "inner_filters",
    "mobilenetv2_035": "inner_filters",
    "vit_tiny_patch16_224": "neurons",
    "mixer_s32_224": "neurons",
    "edgenext_xx_small": "neurons",
    "convnext_tiny": "neurons",
    "convnext_atto": "neurons",  # its MLPs are convolutions
}
SMALL = {"convnext_tiny": {"depths": (1, 1, 1, 1), "dims": (16, 32, 64, 128)}}


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_with_more_parameters(name: str) -> None:
    model = timm.create_model(name, **SMALL.get(name, {})).eval()
    kind = auto_kind(model)
    assert kind == KINDS[name]
    other = "neurons" if kind == "inner_filters" else "inner_filters"
    try:
        rivals = find_units(model, other)
    except XaipruneError:  # it has only the one
        return
    sums = [
        sum(float(costs.sum()) for costs in unit_costs(model, units, "params").values())
        for units in (find_units(model, kind), rivals)
    ]
    assert sums[0] >= sums[1]  # the same where all inner filters are of MLPs


def test_a_network_with_neither() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).eval()
    with pytest.raises(XaipruneError, match=r"Sequential has neither neurons nor inner_filters.*no units of"):
        auto_kind(model, torch.zeros(1, 3, 4, 4))


class Residual(nn.Module):
    """Its filters write into a residual stream, and can only be masked."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((x + self.conv(x)).mean((2, 3)))


def test_a_network_with_other_units() -> None:
    with pytest.raises(XaipruneError, match=r"neither neurons nor .*; it has filters \(units=\.\.\.\)"):
        auto_kind(Residual().eval(), torch.zeros(1, 3, 4, 4))
