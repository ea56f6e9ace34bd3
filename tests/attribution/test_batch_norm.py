"""BatchNorms that cannot be folded, in batches of one image too: PyTorch's own backward is wrong there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution import attribute, criterion
from xaiprune.attribution.lrp import Composite, Epsilon, relevance_at
from xaiprune.testing.small_networks import RESNET_UNITS, images_and_labels, seeded, small_resnet
from xaiprune.units import UnitLayer
from xaiprune.units.batch_norm import BatchNormWrittenOut


class ThenTokens(nn.Module):
    """A pre-norm, behind which tokens are read: its gradient arrives in channels-last order."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.tokens = nn.Linear(8, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x).relu())
        return self.head(self.tokens(x.flatten(2).transpose(1, 2)).relu().mean(1))


UNITS = [UnitLayer("conv", "filters", 8, "conv")]


def network() -> nn.Module:
    torch.manual_seed(0)
    return seeded(ThenTokens()).double()


def images() -> tuple[Tensor, Tensor]:
    x, labels = images_and_labels(n=4)
    return x.double(), labels


@pytest.mark.parametrize("batch_size", [1, 3])
def test_epsilon_0_is_activation_times_gradient_in_batches_of_one(batch_size: int) -> None:
    model, (x, labels) = network(), images()
    conv = model.conv(x).detach().requires_grad_()
    norm = model.norm
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    y = (conv.relu() - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
    logits = model.head(model.tokens(y.flatten(2).transpose(1, 2)).relu().mean(1))
    (g,) = torch.autograd.grad(logits.gather(1, labels[:, None]).sum(), conv)
    expected = (conv * g).detach().sum((2, 3))
    found = attribute(model, x, labels, UNITS, Composite(Epsilon(0.0)), batch_size=batch_size)
    torch.testing.assert_close(found.sums["conv"].double(), expected, rtol=1e-5, atol=1e-7)
    scores = criterion("taylor")(model, x, labels, UNITS, batch_size=batch_size)
    torch.testing.assert_close(scores["conv"], expected.abs().sum(0))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 3), (1, 4, 3, 3)])
def test_written_out_it_is_pytorchs(shape: tuple[int, ...], affine: bool) -> None:
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
    norm, x = seeded(nn.Sequential(kind(4, affine=True)))[0], torch.randn(shape)
    if not affine:
        norm.weight = norm.bias = None
    with BatchNormWrittenOut():
        found = norm(x)
    torch.testing.assert_close(found, norm(x))


def test_statistics_of_the_batch_stay_pytorchs() -> None:
    norm, x = nn.BatchNorm2d(4, track_running_stats=False).eval(), torch.randn(2, 4, 3, 3)
    with BatchNormWrittenOut():
        found = norm(x)
    assert torch.equal(found, norm(x))


def test_relevance_can_be_read_in_front_of_a_batch_norm() -> None:
    # There the two are no longer one layer: the BatchNorm is an affine map with its plain gradient.
    model, (x, labels) = small_resnet().double(), images()
    initial = torch.eye(5, dtype=torch.float64)[labels]
    found = relevance_at(model, x, initial, Composite(Epsilon(0.0)), ["stem", "bn", "block.conv1"])
    stem = model.stem(x).detach().requires_grad_()
    seen = {}
    handle = model.block.conv1.register_forward_hook(lambda _, __, out: seen.update(out=out))
    model_from_stem = model.head(model.block(torch.relu(model.bn(stem))).mean((2, 3)))
    handle.remove()
    g, g_conv = torch.autograd.grad((model_from_stem * initial).sum(), (stem, seen["out"]))
    torch.testing.assert_close(found["stem"], (stem * g).detach())
    torch.testing.assert_close(found["block.conv1"], (seen["out"] * g_conv).detach())


class ReadTwice(nn.Module):
    """A convolution read by a BatchNorm and by a shortcut around it (CoAtNet, MaxViT)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head((x + self.norm(x).relu()).mean((2, 3)))


def test_filters_that_a_batch_norm_and_a_shortcut_read() -> None:
    torch.manual_seed(0)
    model, (x, labels) = seeded(ReadTwice()).double(), images()
    found = attribute(model, x, labels, UNITS, Composite(Epsilon(0.0)))
    taylor = criterion("taylor")(model, x, labels, UNITS)
    torch.testing.assert_close(found.sums["conv"].double().abs().sum(0), taylor["conv"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("tokens", [False, True])
def test_a_linear_layer_in_front_of_its_batch_norm(tokens: bool) -> None:
    torch.manual_seed(0)
    parts = [nn.Flatten(), nn.Linear(3 * 16 * 16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5)]
    if tokens:  # BatchNorm1d over the second dimension of (N, 16, channels)
        parts = [
            nn.Flatten(1, 2),
            nn.Linear(16, 8),
            nn.BatchNorm1d(48),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(384, 5),
        ]
    model, (x, labels) = seeded(nn.Sequential(*parts)).double(), images()
    units = [UnitLayer("1", "linear_outputs", 8, "1", dim=-1)]
    found = attribute(model, x, labels, units, Composite(Epsilon(0.0)))
    taylor = criterion("taylor")(model, x, labels, units)
    torch.testing.assert_close(found.sums["1"].double().abs().sum(0), taylor["1"], rtol=1e-5, atol=1e-7)


def test_units_behind_their_batch_norms_are_what_they_were() -> None:
    model, (x, labels) = small_resnet().double(), images()
    alone = attribute(model, x, labels, RESNET_UNITS, Composite(), batch_size=1)
    together = attribute(model, x, labels, RESNET_UNITS, Composite(), batch_size=4)
    for name, sums in alone.sums.items():
        torch.testing.assert_close(together.sums[name], sums)
