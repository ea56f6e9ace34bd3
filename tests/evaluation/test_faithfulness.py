"""Patch flipping: on a network whose right heatmap is known, and against a computation by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xaiprune.data import Task
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import faithfulness

TASK = Task(("dark", "bright"))


class Brightness(nn.Module):
    """The second logit is a weighted sum of the pixels, so its true relevance is weight times pixel."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        logit = (images * self.weight).sum((1, 2, 3))
        return torch.stack([-logit, logit], 1)


@pytest.fixture
def case() -> tuple[Brightness, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    model = Brightness(torch.randn(3, 12, 12, generator=generator))
    images = torch.randn(5, 3, 12, 12, generator=generator)
    return model, images, torch.ones(5, dtype=torch.long), (images * model.weight).sum(1).detach()


def test_the_right_heatmap_beats_all_others(case: tuple[Brightness, Tensor, Tensor, Tensor]) -> None:
    model, images, labels, right = case
    best = faithfulness(model, images, labels, right, TASK, patch=3)
    worst = faithfulness(model, images, labels, -right, TASK, patch=3)
    chance = faithfulness(model, images, labels, torch.rand(right.shape), TASK, patch=3)
    assert best.area > 0
    assert worst.area == pytest.approx(-best.area, rel=1e-5)
    assert (np.abs(chance.per_image) < best.per_image).all()
    low, high = best.interval()
    assert low < best.area < high
    # Before the first patch and after the last one, the order has no effect.
    assert best.most_first[0] == pytest.approx(best.least_first[0])
    assert best.most_first[-1] == pytest.approx(np.zeros(5), abs=1e-5)


def test_by_hand(case: tuple[Brightness, Tensor, Tensor, Tensor]) -> None:
    model, images, labels, right = case
    found = faithfulness(model, images, labels, right, TASK, patch=5, steps=9, batch_size=2)
    assert found.flipped == pytest.approx(np.arange(10) / 9)  # 12 pixels: 5, 5 and 2 a side, nine patches
    for n in range(5):
        sums = {(r, c): float(right[n, r : r + 5, c : c + 5].sum()) for r in (0, 5, 10) for c in (0, 5, 10)}
        image, logits = images[n : n + 1].clone(), []
        for place in [None, *sorted(sums, key=sums.__getitem__, reverse=True)]:
            if place is not None:
                image[:, :, place[0] : place[0] + 5, place[1] : place[1] + 5] = 0
            logits.append(float(model(image)[0, 1].detach()))
        assert found.most_first[:, n] == pytest.approx(logits, abs=1e-4)


def test_what_cannot_be_flipped(case: tuple[Brightness, Tensor, Tensor, Tensor]) -> None:
    model, images, labels, right = case
    with pytest.raises(XaipruneError, match="not finite"):
        faithfulness(model, images, labels, right / 0, TASK)
    with pytest.raises(XaipruneError, match="patches of 13 pixels are larger than images of 12 x 12"):
        faithfulness(model, images, labels, right, TASK, patch=13)
    with pytest.raises(XaipruneError, match=r"relevance is \(5, 12\)"):
        faithfulness(model, images, labels, right[..., 0], TASK)
