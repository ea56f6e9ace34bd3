"""Each criterion against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria import criterion
from xaiprune.attribution.criteria.gradients import conductance
from xaiprune.errors import XaipruneError
from xaiprune.testing.small_networks import (
    RESNET_UNITS,
    TRANSFORMER_UNITS,
    images_and_labels,
    seeded,
    small_resnet,
    small_transformer,
)
from xaiprune.units.layer import UnitLayer


def at_bn1(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Activation and gradient after the inner BatchNorm, without hooks or in-place operations."""
    block = model.block
    x = torch.relu(model.bn(model.stem(images)))
    a = block.bn1(block.conv1(x)).detach().requires_grad_()
    out = torch.relu(block.bn2(block.conv2(torch.relu(a))) + x)
    logits = model.head(out.mean((2, 3)))
    (g,) = torch.autograd.grad(logits.gather(1, labels[:, None]).sum(), a)
    return a.detach(), g


def test_gradient_criteria_match_a_network_cut_by_hand() -> None:
    model = small_resnet().double()
    images, labels = images_and_labels()
    a, g = at_bn1(model, images.double(), labels)
    expected = {
        "taylor": (a * g).sum((2, 3)).abs().sum(0),
        "fisher": (a * g).sum((2, 3)).square().sum(0),
        "gradient": g.abs().sum((0, 2, 3)),
        "activation": a.abs().mean((0, 2, 3)),
    }
    for name, scores in expected.items():
        actual = criterion(name)(model, images, labels, RESNET_UNITS)["block.conv1"]
        torch.testing.assert_close(actual, scores, rtol=1e-10, atol=0)


def test_taylor_of_a_head_is_the_gradient_of_its_gate() -> None:
    model = small_transformer().double()
    images, labels = images_and_labels()
    gates = torch.ones(len(images), 3, dtype=torch.float64, requires_grad=True)

    def gated(module: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
        return args[0] * gates.repeat_interleave(4, 1)[:, None, :]

    handle = model.attn.proj.register_forward_pre_hook(gated)
    total = model(images.double()).gather(1, labels[:, None]).sum()
    handle.remove()
    (g,) = torch.autograd.grad(total, gates)
    actual = criterion("taylor")(model, images, labels, TRANSFORMER_UNITS)["attn"]
    torch.testing.assert_close(actual, g.abs().sum(0), rtol=1e-10, atol=0)


@pytest.mark.parametrize("layer", ["stem", "fc"])
def test_integrated_gradients_add_up_to_the_change_of_the_logit(layer: str) -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 6, 3)
            self.act = nn.GELU()
            self.fc = nn.Linear(6, 8)
            self.out = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.tanh(self.fc(self.act(self.stem(x)).mean((2, 3)))))

    torch.manual_seed(0)
    model = seeded(Chain().double())
    images, labels = images_and_labels(n=3)
    images = images.double() * 3
    units = [UnitLayer("stem", "filters", 6, "stem"), UnitLayer("fc", "linear_outputs", 8, "fc", dim=-1)]
    with torch.no_grad():
        change = (model(images) - model(torch.zeros_like(images))).gather(1, labels[:, None]).squeeze(1)
    shares = conductance(model, images, labels, units, None, n_steps=200)[layer].sum(1)
    torch.testing.assert_close(shares, change, rtol=1e-3, atol=1e-5)
    scores = criterion("integrated_gradients")(model, images, labels, units, n_steps=200)[layer]
    each = conductance(model, images, labels, units, None, n_steps=200)[layer].abs().sum(0)
    torch.testing.assert_close(scores, each, rtol=1e-12, atol=0)


def test_integrated_gradients_of_a_bias_free_relu_network_are_taylor() -> None:
    # Such a network is linear along the path from zero, so one step is exact.
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 4, 3, bias=False),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(4 * 12 * 12, 5, bias=False),
    ).double()
    units = [UnitLayer("0", "filters", 6, "0"), UnitLayer("2", "filters", 4, "2")]
    images, labels = images_and_labels()
    taylor = criterion("taylor")(model, images, labels, units)
    # The first step starts at zero, where every gradient is 0: the trapezoid then gives (2n - 1) / 2n.
    for n_steps in (1, 4):
        scores = criterion("integrated_gradients")(model, images, labels, units, n_steps=n_steps)
        for key in taylor:
            factor = (2 * n_steps - 1) / (2 * n_steps)
            torch.testing.assert_close(scores[key], taylor[key] * factor, rtol=1e-9, atol=0)


def test_integrated_gradients_need_a_step() -> None:
    with pytest.raises(XaipruneError, match="n_steps"):
        criterion("integrated_gradients")(small_resnet(), *images_and_labels(), RESNET_UNITS, n_steps=0)


def test_magnitude_folds_the_batch_norm() -> None:
    model = small_resnet().double()
    block = model.block
    folded = (
        block.conv1.weight
        * (block.bn1.weight / (block.bn1.running_var + block.bn1.eps).sqrt())[:, None, None, None]
    )
    l1 = criterion("magnitude_l1")(model, *images_and_labels(), RESNET_UNITS)["block.conv1"]
    l2 = criterion("magnitude_l2")(model, *images_and_labels(), RESNET_UNITS)["block.conv1"]
    torch.testing.assert_close(l1, folded.detach().flatten(1).norm(p=1, dim=1))
    torch.testing.assert_close(l2, folded.detach().flatten(1).norm(p=2, dim=1))


def test_magnitude_of_heads_and_neurons() -> None:
    model = small_transformer().double()
    scores = criterion("magnitude_l1")(model, *images_and_labels(), TRANSFORMER_UNITS)
    torch.testing.assert_close(scores["fc1"], model.fc1.weight.detach().abs().sum(1))
    columns = model.attn.proj.weight.detach().abs().sum(0)
    torch.testing.assert_close(scores["attn"], columns.reshape(3, 4).sum(1))
    read = UnitLayer("act", "neurons", 16, "fc2", where="input", dim=-1)
    scores = criterion("magnitude_l1")(model, *images_and_labels(), [read])
    torch.testing.assert_close(scores["act"], model.fc2.weight.detach().abs().sum(0))


def test_magnitude_where_no_weight_belongs_to_the_units_is_refused() -> None:
    with pytest.raises(XaipruneError, match="weight magnitude is undefined"):
        criterion("magnitude_l1")(
            small_transformer(), *images_and_labels(), [UnitLayer("act", "neurons", 16, "act", dim=-1)]
        )


def test_random_depends_on_the_seed() -> None:
    arguments = (small_resnet(), *images_and_labels(), RESNET_UNITS)
    first, second = (criterion("random")(*arguments, seed=seed) for seed in (0, 1))
    assert not torch.equal(first["stem"], second["stem"])


def test_a_module_that_runs_twice_counts_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(torch.relu(self.conv(x))).mean((2, 3))

    torch.manual_seed(0)
    model = Twice().double()
    images, labels = images_and_labels(classes=3)
    first = model.conv(images.double()).detach().requires_grad_()
    second = model.conv(torch.relu(first))
    total = second.mean((2, 3)).gather(1, labels[:, None]).sum()
    parts = [(a * torch.autograd.grad(total, a, retain_graph=True)[0]).sum((2, 3)) for a in (first, second)]
    scores = criterion("taylor")(model, images, labels, [UnitLayer("conv", "filters", 3, "conv")])
    torch.testing.assert_close(scores["conv"], (parts[0] + parts[1]).abs().sum(0).detach())
