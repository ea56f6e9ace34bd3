"""An image's relevance does not depend on the batch that it is in, wherever its activations lie in it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution import CRITERIA, attribute, criterion, heatmaps
from xaiprune.attribution.lrp import Composite, Gamma
from xaiprune.testing.small_networks import images_and_labels, seeded
from xaiprune.units import ImageAxis, UnitLayer, find_image_axis


class TokensFirst(nn.Module):
    """A block that works on (tokens, images, channels), as CLIP's and PyTorch's own transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.fc1 = nn.Linear(8, 12)
        self.fc2 = nn.Linear(12, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).permute(2, 0, 1)
        x = x + self.fc2(self.fc1(x).relu())
        return self.head(x.mean(0))


class Mirrored(nn.Module):
    """Every image runs together with its mirror image, which is appended to the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(3, 12, 4, stride=2)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(torch.cat([x, x.flip(3)])).relu()
        there, back = x.amax((2, 3)).chunk(2)
        return self.head(there * back)


class Windows(nn.Module):
    """Images cut into windows that lie side by side in the batch, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.fc1 = nn.Linear(8, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        x = self.embed(x).unflatten(2, (2, 2)).unflatten(4, (2, 2)).permute(0, 2, 4, 3, 5, 1).flatten(0, 2)
        x = self.fc1(x.flatten(1, 2)).relu()
        return self.head(x.unflatten(0, (n, -1)).amax((1, 2)))


class TwoOrders(nn.Module):
    """One layer, called images-first and tokens-first."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.fc1 = nn.Linear(8, 12)
        self.fc2 = nn.Linear(12, 8)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc2(self.fc1(self.embed(x).flatten(2).mT).relu())
        return self.head(self.fc1(x.transpose(0, 1)).relu().amax(0))


class AcrossImages(nn.Module):
    """Images of a batch change each other (a normalisation over the batch)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(3, 12, 4, stride=4)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x - x.mean(0, keepdim=True) * 0.5).relu()
        return self.head(x.amax((2, 3)))


NETWORKS = {
    "tokens first": (TokensFirst, -1),
    "mirrored": (Mirrored, 1),
    "windows": (Windows, -1),
    "two orders": (TwoOrders, -1),
    "across images": (AcrossImages, 1),
}
every_network = pytest.mark.parametrize("name", list(NETWORKS))


def network(name: str) -> tuple[nn.Module, list[UnitLayer]]:
    build, dim = NETWORKS[name]
    torch.manual_seed(0)
    return seeded(build()).double(), [UnitLayer("fc1", "neurons", 12, "fc1", dim=dim)]


def reference() -> tuple[Tensor, Tensor]:
    images, labels = images_and_labels(n=5)
    return images.double(), labels


def close(actual: Tensor, expected: Tensor) -> None:
    assert expected.abs().max() > 0
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-9)


@every_network
@pytest.mark.parametrize("batch_size", [2, 3, 4, 32])
def test_relevance_is_that_of_single_images(name: str, batch_size: int) -> None:
    (model, units), (images, labels) = network(name), reference()
    alone, together = (
        attribute(model, images, labels, units, Composite(Gamma(0.25)), batch_size=size)
        for size in (1, batch_size)
    )
    close(together.sums["fc1"], alone.sums["fc1"])
    close(together.abs_sums["fc1"], alone.abs_sums["fc1"])


@every_network
@pytest.mark.parametrize("batch_size", [2, 3, 32])
@pytest.mark.parametrize("name_of_criterion", [name for name in CRITERIA if name != "random"])
def test_scores_are_those_of_single_images(name_of_criterion: str, name: str, batch_size: int) -> None:
    (model, units), (images, labels) = network(name), reference()
    alone, together = (
        criterion(name_of_criterion)(model, images, labels, units, batch_size=size)["fc1"]
        for size in (1, batch_size)
    )
    close(together, alone)


@every_network
def test_heatmaps_are_those_of_single_images(name: str) -> None:
    (model, _), (images, labels) = network(name), reference()
    alone, together = (
        heatmaps(model, images, labels, Composite(Gamma(0.25)), batch_size=size) for size in (1, 3)
    )
    close(together, alone)


def test_which_axis_is_found() -> None:
    first, second = torch.randn(2, 3, 4, 5)
    flipped = torch.stack([first, first + 1]), torch.stack([first, second, first + 1, second + 1])
    assert find_image_axis(first[None], torch.stack([first, second]), -1) == ImageAxis(0)
    assert find_image_axis(first[:, None], torch.stack([first, second], 1), -1) == ImageAxis(1)
    assert find_image_axis(*flipped, -1) == ImageAxis(0, interleaved=True)
    assert find_image_axis(flipped[0], torch.stack([first, first + 1, second, second + 1]), -1) == ImageAxis(
        0
    )


def test_no_axis_is_guessed() -> None:
    first, second = torch.randn(2, 3, 4, 5)
    assert find_image_axis(first[None], first[None], -1) is None  # the same for any number of images
    assert find_image_axis(first[None], torch.stack([first + second, second]), -1) is None
    assert find_image_axis(first, torch.cat([first, second], 2), -1) is None  # images among the channels
    assert find_image_axis(first[None], torch.randn(2, 3, 4, 6), -1) is None
    assert find_image_axis(first, torch.stack([first, second]), -1) is None
