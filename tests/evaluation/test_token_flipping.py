"""Token flipping: against a computation by hand, and on a network whose right relevance is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution import TokenTargets
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import token_faithfulness

WORDS, WIDTH = 11, 5


class Sums(nn.Module):
    """The logits at each position are a product of all embeddings up to there, summed; or of all together."""

    def __init__(self, classifies: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.embedding.weight.data = torch.randn(WORDS, WIDTH, generator=generator)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        self.head.weight.data = torch.randn(WORDS, WIDTH, generator=generator)
        self.classifies = classifies

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        found = self.head(self.embedding(input_ids).cumsum(1))
        return found[:, -1] if self.classifies else found


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(WORDS, (3, 7), generator=torch.Generator().manual_seed(1))


def contributions(model: Sums, ids: Tensor, answers: Tensor) -> Tensor:
    """(N, T): what each token adds to the last position's logit of its text's answer."""
    table = model.embedding.weight @ model.head.weight.T
    return torch.stack([table[row, answer] for row, answer in zip(ids, answers, strict=True)]).detach()


def test_by_hand(ids: Tensor) -> None:
    """The logit is what the tokens that are left add up to."""
    model, answers = Sums(classifies=True), torch.tensor([4, 0, 9])
    right = contributions(model, ids, answers)
    relevance = torch.rand(right.shape, generator=torch.Generator().manual_seed(2))
    found = token_faithfulness(model, {"input_ids": ids}, answers, relevance, steps=7, batch_size=2)
    assert found.flipped == pytest.approx(np.arange(8) / 7)
    for n in range(3):
        falling = sorted(range(7), key=lambda t: -float(relevance[n, t]))
        for curve, order in ((found.most_first, falling), (found.least_first, falling[::-1])):
            left = [sum(float(right[n, t]) for t in order[count:]) for count in range(8)]
            assert curve[:, n] == pytest.approx(left, abs=1e-5)
    areas = [np.trapezoid(found.least_first[:, n] - found.most_first[:, n], found.flipped) for n in range(3)]
    assert found.per_image == pytest.approx(areas)
    assert str(found).endswith("3 texts")


def test_the_right_relevance_beats_all_others(ids: Tensor) -> None:
    model, answers = Sums(), torch.tensor([4, 0, 9])
    targets = TokenTargets(torch.arange(3), torch.full((3,), 6), answers, torch.ones(3), 3)
    right = contributions(model, ids, answers)
    best = token_faithfulness(model, ids, targets, right)
    worst = token_faithfulness(model, ids, targets, -right)
    chance = token_faithfulness(model, ids, targets, torch.rand(right.shape))
    assert best.area > 0
    assert worst.area == pytest.approx(-best.area, rel=1e-5)
    assert (np.abs(chance.per_image) < best.per_image).all()


def test_an_answer_that_an_encoder_decoder_begins_with_stays(ids: Tensor) -> None:
    class Answers(Sums):
        def forward(self, input_ids: Tensor, decoder_input_ids: Tensor) -> Tensor:
            read, written = self.embedding(input_ids).sum(1), self.embedding(decoder_input_ids).sum(1)
            return self.head(read + written)

    model, begun = Answers(), torch.tensor([[1, 2]] * 3)
    answers = torch.tensor([4, 0, 9])
    given = {"input_ids": ids, "decoder_input_ids": begun}
    found = token_faithfulness(model, given, answers, torch.rand(3, 7))
    left = contributions(model, begun, answers).sum(1)
    assert found.most_first[-1] == pytest.approx(left.numpy(), abs=1e-5)


def test_the_network_is_left_as_it_was(ids: Tensor) -> None:
    model = Sums()
    with torch.inference_mode():
        before = model(ids)
        token_faithfulness(model, ids, ids, torch.rand(3, 7))
    assert torch.equal(model(ids), before)


def test_what_cannot_be_flipped(ids: Tensor) -> None:
    model, relevance = Sums(), torch.rand(3, 7)
    with pytest.raises(XaipruneError, match="not finite"):
        token_faithfulness(model, ids, ids, relevance / 0)
    with pytest.raises(XaipruneError, match=r"relevance is \(3, 6\), the texts are \(3, 7\)"):
        token_faithfulness(model, ids, ids, relevance[:, 1:])
    with pytest.raises(XaipruneError, match="given ids"):
        token_faithfulness(model, torch.rand(3, 7), ids, relevance)
    mask = torch.ones_like(ids)
    mask[1, -2:] = 0
    with pytest.raises(XaipruneError, match="padding"):
        token_faithfulness(model, {"input_ids": ids, "attention_mask": mask}, ids, relevance)
