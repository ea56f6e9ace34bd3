"""What consumers read is told apart image by image: for held-out images, and for the weights of samples."""

import pytest
import torch
from torch import nn

from tests.attribution.test_image_axis import NETWORKS, AcrossImages, TokensFirst
from xaiprune.pruning import ImageStream, compensate, samples_of, statistics_of
from xaiprune.testing.small_networks import seeded
from xaiprune.units import find_units


class Expanding(nn.Module):
    """Mirrored copies are appended to the batch, in front of a convolution that reads the units."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(3, 12, 4, stride=2), nn.Conv2d(12, 6, 3)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = self.fc2(self.fc1(torch.cat([x, x.flip(3)])).relu())
        there, back = x.relu().amax((2, 3)).chunk(2)
        return self.head(there * back)


class ImagesFirst(TokensFirst):
    """The same network with images first."""

    def forward(self, x):
        x = self.embed(x).flatten(2).mT
        x = x + self.fc2(self.fc1(x).relu())
        return self.head(x.mean(1))


KINDS = {
    **{
        name: (build, "neurons")
        for name, (build, _) in NETWORKS.items()
        if name in ("tokens first", "windows")
    },
    "mirrored": (Expanding, "inner_filters"),
    "across images": (AcrossImages, "inner_filters"),
}


def images():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(7, 3, 16, 16, generator=generator, dtype=torch.float64)
    return x * torch.arange(1, 8, dtype=torch.float64)[:, None, None, None]  # all different


def network(build):
    torch.manual_seed(0)
    return seeded(build()).double()


def compensated(model, kind, x, **settings):
    units = find_units(model, kind, example=images()[:1])
    plan = {layer.name: tuple(range(5)) for layer in units}
    assert plan
    return compensate(model, plan, units, x, "linear", **settings).state_dict()


def close(found, expected, dense):
    assert any(not torch.equal(expected[name], dense[name]) for name in dense)
    for name in dense:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("sequential", [True, False])
@pytest.mark.parametrize("batch_size", [2, 3, 32])
@pytest.mark.parametrize("name", KINDS)
def test_compensation_is_that_of_single_images(name, batch_size, sequential):
    build, kind = KINDS[name]
    model, x = network(build), images()
    alone = compensated(model, kind, ImageStream(len(x), lambda: iter(x.split(1))), sequential=sequential)
    together = compensated(model, kind, x, sequential=sequential, batch_size=batch_size)
    close(together, alone, model.state_dict())


@pytest.mark.parametrize("sequential", [True, False])
def test_tokens_first_is_what_images_first_is(sequential):
    first, last = network(TokensFirst), network(ImagesFirst)
    last.load_state_dict(first.state_dict())
    expected = compensated(last, "neurons", images(), sequential=sequential)
    close(compensated(first, "neurons", images(), sequential=sequential), expected, first.state_dict())


def test_images_that_change_each_other_run_one_by_one():
    model, x = network(AcrossImages), images()
    units = find_units(model, "inner_filters", example=x[:1])
    found = samples_of(model, units, x)
    assert found is not None
    assert found.axes is None
    assert not found.seen


@pytest.mark.parametrize("shape", [(7, 3, 16, 16), (1, 3, 16, 16)])
def test_a_batch_norm_in_a_batch_of_one(shape):
    """PyTorch's own backward of it is wrong for one image whose gradient arrives in channels-last order."""
    torch.manual_seed(0)

    class ThenTokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 6, 1)
            self.norm, self.tokens, self.head = nn.BatchNorm2d(6), nn.Linear(6, 12), nn.Linear(12, 5)

        def forward(self, x):
            x = self.norm(self.fc2(self.fc1(x).relu()).relu())
            return self.head(self.tokens(x.flatten(2).transpose(1, 2)).relu().mean(1))

    model, x = seeded(ThenTokens()).double(), images()
    units = find_units(model, "inner_filters", example=x[:1])
    together = statistics_of(model, units, x, batch_size=7).moments("fc2")
    found = statistics_of(model, units, x, batch_size=shape[0]).moments("fc2")
    torch.testing.assert_close(found.xy, together.xy, rtol=1e-8, atol=1e-10)
