"""Next-token top-1 and perplexity, with intervals over windows."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xaiprune.data import TextWindows
from xaiprune.evaluation import TokenAccuracy, accuracy, accuracy_of_chunks

VOCABULARY = 7


class Table(nn.Module):
    """Logits of the next token by the present one."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Embedding(VOCABULARY, VOCABULARY)
        self.table.weight.data = 2 * torch.randn(VOCABULARY, VOCABULARY, generator=generator)

    def forward(self, ids: Tensor) -> Any:
        return SimpleNamespace(logits=self.table(ids))


def windows(count: int = 12, length: int = 9) -> TextWindows:
    generator = torch.Generator().manual_seed(1)
    return TextWindows.of(torch.randint(VOCABULARY, (count, length), generator=generator))


def test_every_position_but_the_last_is_asked() -> None:
    model, text = Table().eval(), windows()
    found = accuracy(model, text, batch_size=5)
    assert isinstance(found, TokenAccuracy)
    logits = model.table.weight[text.ids[:, :-1]].detach().double()
    right = logits.argmax(-1) == text.ids[:, 1:]
    loss = -logits.log_softmax(-1).gather(-1, text.ids[:, 1:, None])
    assert (found.correct, found.total) == (int(right.sum()), 12 * 8)
    assert found.top1 == pytest.approx(float(right.double().mean()))
    assert found.perplexity == pytest.approx(math.exp(float(loss.mean())))
    assert found.per_image is not None
    assert found.per_image.tolist() == right.sum(1).tolist()


def test_the_interval_is_over_windows() -> None:
    """All tokens of a window alike: there are as many independent answers as windows, not as tokens."""

    def interval(right: Sequence[int]) -> tuple[float, float]:
        return TokenAccuracy.of_windows(np.array(right), np.zeros(len(right)), 100).interval()

    low, high = interval([100, 0] * 10)
    mean, error = 0.5, math.sqrt(0.25 * 20 / 19 / 20)
    assert (low, high) == pytest.approx((mean - 2.0930 * error, mean + 2.0930 * error), abs=1e-4)
    assert interval([50] * 20) == (0.5, 0.5)
    assert interval([50]) == (0.0, 1.0)  # one window says nothing of others


def test_perplexitys_interval_is_that_of_the_mean_loss() -> None:
    loss = np.array([10.0, 30.0, 20.0, 40.0])
    found = TokenAccuracy.of_windows(np.array([1, 2, 3, 4]), loss, 10)
    assert found.perplexity == pytest.approx(math.exp(2.5))
    half = 3.1824 * np.std(loss / 10, ddof=1) / 2
    assert found.perplexity_interval() == pytest.approx(
        (math.exp(2.5 - half), math.exp(2.5 + half)), rel=1e-4
    )
    assert str(found) == (
        "25.0% [4.5%, 45.5%] of 40 next tokens, perplexity 12.18 [1.56, 95.04] (4 windows of 11)"
    )


def test_chunks_are_windows() -> None:
    text = windows()
    whole = accuracy(Table().eval(), text)
    assert isinstance(whole, TokenAccuracy)
    assert whole.per_image is not None
    again = accuracy_of_chunks(text, whole.per_image.tolist(), whole.loss.tolist())
    assert (again.top1, again.interval()) == (whole.top1, whole.interval())
    assert str(again) == str(whole)
