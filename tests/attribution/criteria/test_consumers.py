"""Criteria of what consumers read, Wanda's and the variance, against their definitions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from xaiprune.attribution.criteria import criterion
from xaiprune.errors import XaipruneError
from xaiprune.testing.small_networks import (
    RESNET_UNITS,
    TRANSFORMER_UNITS,
    chain,
    images_and_labels,
    seeded,
    small_resnet,
    small_transformer,
)
from xaiprune.units import find_units
from xaiprune.units.layer import UnitLayer


def norm_of(x: Tensor) -> Tensor:
    """Of each channel of a map (N, C, H, W): root of the mean over images of the sum over positions."""
    return x.square().sum((2, 3)).mean(0).sqrt()


def folded(conv: nn.Module, norm: nn.Module) -> Tensor:
    """Weight of a convolution with its BatchNorm, (out, in, taps)."""
    return fuse_conv_bn_eval(conv, norm).weight.detach().flatten(2)


def values_of(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> all values of each channel, (C, n)."""
    return maps.transpose(0, 1).flatten(1)


def inside(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What the convolutions of the small ResNet read and make."""
    block = model.block
    with torch.no_grad():
        stem = model.bn(model.stem(images))
        conv1 = block.bn1(block.conv1(torch.relu(stem)))
        conv2 = block.bn2(block.conv2(torch.relu(conv1)))
    return {"stem": stem, "conv1": conv1, "conv2": conv2}


def test_wanda_reads_what_consumers_read_and_else_what_the_unit_reads() -> None:
    model = small_resnet().double()
    images, labels = images_and_labels()
    images = images.double()
    a, block = inside(model, images), model.block
    scores = criterion("wanda")(model, images, labels, RESNET_UNITS)
    consumer = folded(block.conv2, block.bn2)
    expected = consumer.abs().sum((0, 2)) * norm_of(torch.relu(a["conv1"]))
    torch.testing.assert_close(scores["block.conv1"], expected)
    # Both end in the residual stream.
    expected = (folded(model.stem, model.bn).abs() * norm_of(images)[:, None]).sum((1, 2))
    torch.testing.assert_close(scores["stem"], expected)
    expected = (consumer.abs() * norm_of(torch.relu(a["conv1"]))[:, None]).sum((1, 2))
    torch.testing.assert_close(scores["block.conv2"], expected)


def test_wanda_is_the_same_with_batch_norms_folded() -> None:
    model = small_resnet().double()
    images, labels = images_and_labels()
    plain = copy.deepcopy(model)
    plain.stem, plain.bn = fuse_conv_bn_eval(plain.stem, plain.bn), nn.Identity()
    plain.block.conv1, plain.block.bn1 = fuse_conv_bn_eval(plain.block.conv1, plain.block.bn1), nn.Identity()
    plain.block.conv2, plain.block.bn2 = fuse_conv_bn_eval(plain.block.conv2, plain.block.bn2), nn.Identity()
    scores = criterion("wanda")(model, images, labels, RESNET_UNITS)
    again = criterion("wanda")(plain, images, labels, RESNET_UNITS)
    assert all(torch.allclose(scores[name], again[name]) for name in scores)


def test_neurons_are_read_after_their_activation_and_heads_at_the_projection() -> None:
    model = small_transformer().double()
    images, labels = images_and_labels()
    read: dict[str, Tensor] = {}
    handles = [
        module.register_forward_pre_hook(lambda _, args, name=name: read.update({name: args[0].detach()}))
        for name, module in (("fc1", model.fc2), ("attn", model.attn.proj))
    ]
    model(images.double())
    for handle in handles:
        handle.remove()
    norms = {name: x.square().sum(1).mean(0).sqrt() for name, x in read.items()}
    variances = {name: x.flatten(0, 1).var(0, correction=0) for name, x in read.items()}
    wanda = criterion("wanda")(model, images, labels, TRANSFORMER_UNITS)
    torch.testing.assert_close(wanda["fc1"], model.fc2.weight.detach().abs().sum(0) * norms["fc1"])
    columns = model.attn.proj.weight.detach().abs().sum(0) * norms["attn"]
    torch.testing.assert_close(wanda["attn"], columns.reshape(3, 4).sum(1))
    variance = criterion("variance")(model, images, labels, TRANSFORMER_UNITS)
    torch.testing.assert_close(variance["fc1"], variances["fc1"])
    torch.testing.assert_close(variance["attn"], variances["attn"].reshape(3, 4).sum(1))


def test_variance_is_of_what_consumers_read_and_else_of_the_unit() -> None:
    model = small_resnet().double()
    images, labels = images_and_labels()
    a = inside(model, images.double())
    scores = criterion("variance")(model, images, labels, RESNET_UNITS, batch_size=4)
    for name, x in (("block.conv1", a["conv1"].relu()), ("stem", a["stem"]), ("block.conv2", a["conv2"])):
        torch.testing.assert_close(scores[name], values_of(x).var(1, correction=0))


def test_variance_of_a_large_constant_keeps_its_digits() -> None:
    model = chain(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), nn.Flatten()).float()
    images, labels = images_and_labels(classes=2)
    units = [UnitLayer("0", "filters", 4, "0")]
    before = criterion("variance")(model, images, labels, units)["0"]
    with torch.no_grad():
        model[0].bias += 300
    after = criterion("variance")(model, images, labels, units)["0"]
    torch.testing.assert_close(after, before, rtol=1e-4, atol=0)


def test_a_flattened_map() -> None:
    torch.manual_seed(0)
    model = chain(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    images, labels = images_and_labels(size=8)
    with torch.no_grad():
        maps = model[:2](images.double())
    units = [UnitLayer("0", "filters", 4, "0")]
    variance = criterion("variance")(model, images, labels, units)["0"]
    torch.testing.assert_close(variance, values_of(maps).var(1, correction=0))
    wanda = criterion("wanda")(model, images, labels, units)["0"]
    each = maps.flatten(1).square().mean(0).sqrt() * model[3].weight.detach().abs().sum(0)
    torch.testing.assert_close(wanda, each.reshape(4, 36).sum(1))


def test_several_consumers_and_neighbours_in_a_concatenation() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 4, 3)
            self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(6)])
            self.second = nn.Conv2d(4, 2, 1)
            self.head = nn.Conv2d(6, 5, 1)

        def forward(self, x: Tensor) -> Tensor:
            first = self.first(x)
            second = self.second(torch.relu(self.norms[0](first)))
            both = torch.relu(self.norms[1](torch.cat([second, first], 1)))
            return self.head(both).mean((2, 3))

    torch.manual_seed(0)
    model = seeded(Dense().double())
    images, labels = images_and_labels()
    units = [UnitLayer("first", "filters", 4, "first"), UnitLayer("second", "filters", 2, "second")]
    with torch.no_grad():
        first = model.first(images.double())
        here = torch.relu(model.norms[0](first))
        both = torch.relu(model.norms[1](torch.cat([model.second(here), first], 1)))
    there = values_of(both).var(1, correction=0)
    variance = criterion("variance")(model, images, labels, units)
    torch.testing.assert_close(variance["second"], there[:2])
    torch.testing.assert_close(variance["first"], (values_of(here).var(1, correction=0) + there[2:]) / 2)
    wanda = criterion("wanda")(model, images, labels, units)
    last = model.head.weight.detach().abs().sum((0, 2, 3)) * norm_of(both)
    own = model.second.weight.detach().abs().sum((0, 2, 3)) * norm_of(here)
    torch.testing.assert_close(wanda["second"], last[:2])
    torch.testing.assert_close(wanda["first"], own + last[2:])


def test_an_output_of_a_grouped_convolution_reads_its_own_group() -> None:
    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 1)
            self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=2)
            self.head = nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.head((x + self.conv(x)).mean((2, 3)))

    torch.manual_seed(0)
    model = Grouped().double().eval()
    images, labels = images_and_labels()
    norms = norm_of(model.stem(images.double()).detach())
    weight = model.conv.weight.detach().abs().sum((2, 3))
    expected = [sum(weight[o, i] * norms[2 * (o // 2) + i] for i in range(2)) for o in range(4)]
    scores = criterion("wanda")(model, images, labels, [UnitLayer("conv", "filters", 4, "conv")])["conv"]
    torch.testing.assert_close(scores, torch.stack(expected))


def test_a_batch_norm_without_statistics_cannot_be_folded() -> None:
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Conv2d(4, 5, 1)]
    model = chain(*layers, nn.BatchNorm2d(5, track_running_stats=False), nn.Flatten(), nn.Linear(5 * 196, 5))
    images, labels = images_and_labels()
    with pytest.raises(XaipruneError, match="without running statistics"):
        criterion("wanda")(model, images, labels, find_units(model, "filters", example=images.double()[:1]))
