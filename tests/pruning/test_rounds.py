"""Iterative pruning and BatchNorm recalibration."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning import (
    BatchNormStatistics,
    iterative_plan,
    make_plan,
    masked,
    recalibrate_bn_,
)
from xaiprune.units import UnitLayer, find_units


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 10, 3), nn.ReLU(), nn.Flatten(), nn.Linear(360, 2)).eval()


@pytest.fixture(scope="module")
def units(net):
    return find_units(net, "filters", example=torch.zeros(1, 3, 8, 8))


def mean_activation(model):
    seen = []
    handle = model[1].register_forward_hook(lambda _, args, output: seen.append(output))
    with torch.no_grad():
        model(torch.ones(2, 3, 8, 8))
    handle.remove()
    return {"0": seen[0].mean((0, 2, 3)).double()}


def test_one_round_is_one_shot(net, units):
    assert iterative_plan(net, units, 0.5, mean_activation) == make_plan(mean_activation(net), units, 0.5)


def test_rounds_rank_the_network_pruned_so_far(net, units):
    asked = []

    def rank(model):
        scores = mean_activation(model)
        asked.append(int((scores["0"] == 0).sum()))
        return {"0": -scores["0"] if len(asked) > 1 else scores["0"]}  # would bring the first ones back

    plan = iterative_plan(net, units, 0.6, rank, rounds=3)
    first = make_plan(mean_activation(net), units, 0.2).removed["0"]
    assert set(first) <= set(plan.removed["0"])
    assert plan.n_removed == 6
    assert len(asked) == 3
    assert asked == sorted(asked)
    assert asked[-1] >= 4


def test_rounds_use_the_compensated_network(net, units):
    compensated = []

    def compensator(plan):
        compensated.append(plan.n_removed)
        return net

    iterative_plan(net, units, 0.6, mean_activation, 3, compensator)
    assert compensated == [2, 4]


def test_rounds_below_one(net, units):
    with pytest.raises(XaipruneError, match=r"prune.rounds=0 is out of range"):
        iterative_plan(net, units, 0.5, mean_activation, 0)


def test_recalibration_measures_the_pruned_network():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2)
    )
    net.eval()
    images = torch.randn(21, 3, 4, 4) + 2
    unit_layers = [UnitLayer("0", "filters", 4, "0")]
    with masked(net, {"0": (1,)}, unit_layers):
        recalibrate_bn_(net, images, batch_size=10)
        with torch.no_grad():
            expected = net[1](net[0](images).index_fill(1, torch.tensor([1]), 0)).mean((0, 2, 3))
    # Batches of 10 and 11 images count alike.
    torch.testing.assert_close(net[2].running_mean, expected, atol=0.05, rtol=0)
    assert not any(module.training for module in net.modules())
    assert net[2].momentum == 0.1


def test_the_dense_networks_statistics_are_control_variates():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Flatten()).eval()
    with torch.no_grad():
        net[2].running_mean.normal_()
        net[2].running_var.uniform_(0.5, 2)
    running_mean, running_var = net[2].running_mean.clone(), net[2].running_var.clone()
    images = torch.randn(40, 3, 4, 4) + 2 * torch.randn(40, 3, 1, 1)
    dense = BatchNormStatistics.of(net, images)
    assert torch.equal(net[2].running_mean, running_mean)

    def entering(removed: list[int]) -> torch.Tensor:
        with torch.no_grad():
            made = net[0](images).index_fill(1, torch.tensor(removed, dtype=torch.int64), 0)
            return net[1](made).double().flatten(2)  # (images, channels, pixels)

    def slope(y: torch.Tensor, x: torch.Tensor) -> list[float]:
        return [max(0.0, np.polyfit(x[:, c].numpy(), y[:, c].numpy(), 1)[0]) for c in range(4)]

    for removed in ([], [1, 2]):
        with masked(net, {"0": tuple(removed)}, [UnitLayer("0", "filters", 4, "0")]):
            recalibrate_bn_(net, images, 10, dense)
        p, d = entering(removed), entering([])
        b = torch.tensor(slope(p.mean(2), d.mean(2)))
        mean = p.mean((0, 2)) + b * (running_mean - d.mean((0, 2)))
        square_p, square_d = ((x - x.mean((0, 2))[:, None]).square().mean(2) for x in (p, d))
        variance_p, variance_d = square_p.mean(0), square_d.mean(0)
        c = torch.tensor(slope(square_p / variance_p, square_d / variance_d))
        variance = variance_p * ((running_var + 1e-5) / (variance_d + 1e-5)) ** c
        torch.testing.assert_close(net[2].running_mean.double(), mean, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(net[2].running_var.double(), variance, atol=1e-3, rtol=1e-3)
        if not removed:
            torch.testing.assert_close(net[2].running_mean, running_mean, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(net[2].running_var, running_var, atol=1e-4, rtol=1e-4)


def test_recalibration_without_batchnorm_changes_nothing():
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recalibrate_bn_(model, torch.randn(4, 3, 32, 32))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
