"""Top-1, its interval, curves."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from xaiprune.data import PixelImages, Task
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import Accuracy, accuracy, curve
from xaiprune.evaluation.curve import trapezoid


def labelled(values, labels):
    """Images of one pixel, whose red value is given."""
    pixels = np.zeros((len(values), 1, 1, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = values
    files = tuple(f"{i}.png" for i in range(len(values)))
    return PixelImages(pixels, torch.tensor(labels), files, (0.0, 0.0, 0.0), (1 / 255,) * 3)


class Fixed(nn.Module):
    """Logit i is the larger the closer the red value is to i."""

    def forward(self, x):
        return -(x[:, 0, 0, 0, None] - torch.arange(5.0)).abs()


def test_bfloat16_is_what_the_network_computes_in():
    kinds = []

    class Sees(nn.Linear):
        def forward(self, x):
            out = super().forward(x.mean((2, 3)))
            kinds.append(out.dtype)
            return out

    model, images = Sees(3, 5).eval(), labelled([0, 60, 120, 250], [0, 1, 3, 4])
    exact = accuracy(model, images, Task(tuple("abcde"), None))
    low = accuracy(model, images, Task(tuple("abcde"), None), precision="bfloat16")
    assert kinds == [torch.float32, torch.bfloat16]
    assert low.total == exact.total
    assert not torch.is_autocast_enabled("cpu")


def test_top1_in_order_over_batches():
    images = labelled([0, 1, 2, 4, 3], [0, 1, 3, 4, 0])
    for batch_size in (1, 2, 100):
        found = accuracy(Fixed(), images, Task(tuple("abcde")), batch_size)
        assert found.per_image.tolist() == [True, True, False, True, False]
    assert found.top1 == 0.6
    assert found.total == 5


def test_only_the_tasks_logits_compete():
    images = labelled([0, 4], [0, 1])
    found = accuracy(Fixed(), images, Task(("one", "three"), (1, 3)))
    assert found.correct == found.total == 2


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (960, 1000, 0.9460, 0.9705)],
)
def test_wilson_interval(correct, total, low, high):
    found = Accuracy(correct, total).interval()
    assert found == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
@pytest.mark.parametrize("total", [1, 7, 200, 50_000])
def test_wilson_interval_is_the_papers(total, level):
    """Brown, Cai & DasGupta 2001, eq. 4."""
    z = norm.ppf((1 + level) / 2)
    for correct in {0, 1, total // 3, total - 1, total}:
        p = correct / total
        centre = (p + z * z / (2 * total)) / (1 + z * z / total)
        half = z / (1 + z * z / total) * np.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
        expected = (max(0.0, centre - half), min(1.0, centre + half))
        assert Accuracy(correct, total).interval(level) == pytest.approx(expected, abs=1e-12)


def test_counts_of_images():
    found = Accuracy.of(np.array([True, False, True]))
    assert (found.correct, found.total, found.top1) == (2, 3, 2 / 3)
    assert found.per_image.tolist() == [True, False, True]
    assert found == Accuracy(2, 3)
    assert Accuracy(2, 3).per_image is None
    assert repr(found) == "Accuracy(correct=2, total=3)"


def test_wider_level_wider_interval():
    found = Accuracy(70, 100)
    (a, b), (c, d) = found.interval(0.9), found.interval(0.99)
    assert c < a < b < d
    assert str(found) == "70.0% [60.4%, 78.1%] of 100 images"


def test_refusals():
    with pytest.raises(XaipruneError, match="no images"):
        accuracy(Fixed(), labelled([], []), Task(tuple("abcde")))

    class Broken(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 5), torch.nan)

    with pytest.raises(XaipruneError, match="gives NaN"):
        accuracy(Broken(), labelled([0], [0]), Task(tuple("abcde")))


def test_curve_summaries():
    top1 = {0.0: 0.9, 0.1: 0.8, 0.5: 0.1}
    found = curve(lambda rate: Accuracy(round(10 * top1[rate]), 10), list(top1))
    assert found.top1 == (0.9, 0.8, 0.1)
    assert found.mean == pytest.approx(0.6)
    assert found.area == pytest.approx((0.1 * 0.85 + 0.4 * 0.45) / 0.5)
    one = curve(lambda rate: Accuracy(5, 10), [0.3])
    assert one.mean == one.area == 0.5


def test_trapezoid_is_the_mean_height():
    assert trapezoid([0.0, 0.1, 0.5, 0.9], [0.7] * 4) == pytest.approx(0.7)
    assert trapezoid([0.0, 0.9], [1.0, 0.0]) == pytest.approx(0.5)
    assert trapezoid([0, 0.5, 0.6], [1, 0.4, 0.1]) == pytest.approx((0.35 + 0.025) / 0.6)
    assert trapezoid([0.3], [0.7]) == 0.7


@pytest.mark.parametrize("rates", [[], [0.5, 0.5], [0.5, 0.1], [1.0], [-0.1]])
def test_bad_rates(rates):
    with pytest.raises(XaipruneError, match="rates"):
        curve(lambda rate: Accuracy(1, 1), rates)
