"""Who consumes units, on networks made for one question each."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xaiprune.units import UnitLayer, find_links, find_units, unit_costs

EXAMPLE = torch.zeros(1, 3, 8, 8)


class Net(nn.Module):
    """conv -> the thing in question -> conv -> classifier."""

    def __init__(self, between, channels=4, second=None):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = second or nn.Conv2d(channels, 6, 1)
        self.head = nn.Linear(6, 2)
        self.between = between

    def forward(self, x):
        return self.head(self.second(self.between(self, self.first(x))).mean((2, 3)))


def reach_of_first(net):
    layer = UnitLayer("first", "filters", 4, "first")
    return find_links(net.eval(), [layer], EXAMPLE).reaches["first"]


def test_a_plain_chain_ends_at_its_consumer():
    found = reach_of_first(Net(lambda self, x: F.max_pool2d(x.relu(), 2)))
    assert found.alone
    assert [(c.module, c.unit, c.zero) for c in found.consumers] == [("second", (0, 1, 2, 3), True)]


def test_concatenation_shifts_the_channels():
    found = reach_of_first(Net(lambda self, x: torch.cat([torch.ones_like(x), x], 1), channels=8))
    assert found.consumers[0].unit == (-1, -1, -1, -1, 0, 1, 2, 3)


def test_flattening_repeats_each_unit():
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 4), nn.Linear(4, 2))
    layer = UnitLayer("0", "filters", 2, "0")
    found = find_links(net.eval(), [layer], EXAMPLE).reaches["0"]
    assert found.consumers[0].unit == (0,) * 36 + (1,) * 36


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (
            lambda self, x: x + torch.relu(self.norm(x * 1)) + F.conv2d(x, torch.ones(4, 4, 1, 1)),
            "runs across",
        ),
        (lambda self, x: x.flip(1), "mixes it with others"),
        (lambda self, x: x.mean(1, keepdim=True).expand(-1, 4, -1, -1), "averages over it"),
    ],
)
def test_what_mixes_units_blocks(between, reason):
    assert reason in reach_of_first(Net(between)).blocked


def test_a_residual_sum_blocks():
    class Residual(Net):
        def forward(self, x):
            return self.head(self.second(self.first(x) + self.other(x)).mean((2, 3)))

    net = Residual(None)
    net.other = nn.Conv2d(3, 4, 1)
    assert "is added to another layer's output" in reach_of_first(net).blocked


def test_a_constant_before_padding_blocks_but_not_before_a_pointwise_convolution():
    sigmoid = lambda self, x: x.sigmoid()  # noqa: E731
    assert reach_of_first(Net(sigmoid)).alone
    padded = reach_of_first(Net(sigmoid, second=nn.Conv2d(4, 6, 3, padding=1)))
    assert "pads with zeros" in padded.blocked


def test_grouped_convolutions_block():
    found = reach_of_first(Net(lambda self, x: x, second=nn.Conv2d(4, 6, 1, groups=2)))
    assert "grouped convolution second" in found.blocked


def test_norm_over_units_is_found_but_not_removable():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.LayerNorm(8), nn.Linear(8, 4), nn.ReLU())
    net.append(nn.Linear(4, 2))
    first, second = find_units(net.eval(), "neurons", example=EXAMPLE)
    assert (first.name, first.removable) == ("1", False)
    assert (second.name, second.removable) == ("3", True)


def test_costs_by_hand():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3))
    net += nn.Sequential(nn.Flatten(), nn.Linear(80, 2))
    units = find_units(net.eval(), "filters", example=EXAMPLE)
    params = unit_costs(net, units, "params", EXAMPLE)
    assert params["0"].tolist() == [3 * 9 + 1 + 2 + 5 * 9] * 4
    assert params["3"].tolist() == [4 * 9 + 1 + 16 * 2] * 5
    macs = unit_costs(net, units, "macs", EXAMPLE)
    assert macs["0"].tolist() == [3 * 9 * 36 + 5 * 9 * 16] * 4
    assert macs["3"].tolist() == [4 * 9 * 16 + 16 * 2] * 5


def test_a_depthwise_channel_costs_what_feeds_it_too():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU6(), nn.Conv2d(4, 4, 3, groups=4))
    net += nn.Sequential(nn.ReLU6(), nn.Conv2d(4, 5, 1), nn.Flatten(), nn.Linear(180, 2))
    units = find_units(net.eval(), "inner_filters", example=EXAMPLE)
    assert [layer.name for layer in units] == ["3", "5"]
    params = unit_costs(net, units, "params", EXAMPLE)
    assert params["3"].tolist() == [(3 + 1 + 2) + (9 + 1) + 5] * 4
    macs = unit_costs(net, units, "macs", EXAMPLE)
    assert macs["3"].tolist() == [3 * 64 + 9 * 36 + 5 * 36] * 4


PADDED = {
    "pad with zeros": lambda x: F.pad(x, (1, 1, 1, 1)),
    "average of a padded map": lambda x: F.avg_pool2d(x, 3, 1, padding=1),
}
NOT_PADDED = {
    "pad with what is there": lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate"),
    "average without the padding": lambda x: F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False),
    "average without padding": lambda x: F.avg_pool2d(x, 2),
}


@pytest.mark.parametrize("name", PADDED | NOT_PADDED)
def test_zeros_around_a_map_change_a_constant_but_not_zero(name):
    around = (PADDED | NOT_PADDED)[name]
    found = reach_of_first(Net(lambda self, x: around(x.relu() + 0.5)))
    assert found.blocked == ("does not stay constant on its way to second" if name in PADDED else "")
    assert reach_of_first(Net(lambda self, x: around(x.relu()))).alone
