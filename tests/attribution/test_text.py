"""Networks on text: ids and dicts go in, (N, T, vocabulary) comes out, relevance starts where one says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution import attribute, criterion, initial_relevance
from xaiprune.attribution.criteria.gradients import conductance
from xaiprune.attribution.lrp import PLAIN_GRADIENT, Composite, Epsilon, Recording, relevance_at
from xaiprune.attribution.targets import TokenTargets, confidence
from xaiprune.embedding import TokenIds
from xaiprune.errors import XaipruneError
from xaiprune.units import UnitLayer

VOCABULARY, WIDTH, TOKENS = 11, 8, 5
UNITS = [UnitLayer("block.0", "neurons", 12, "block.0", dim=-1)]
PER_UNIT = ("taylor", "fisher", "gradient", "activation", "integrated_gradients")


class Reader(nn.Module):
    """A small language model: embeddings of ids and of positions, a causal mean, an MLP, tied logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(TOKENS, WIDTH)
        self.block = nn.Sequential(nn.Linear(WIDTH, 12), nn.ReLU(), nn.Linear(12, WIDTH))
        self.double().eval()

    def embedded(self, input_ids: Tensor) -> Tensor:
        return self.tokens(input_ids.view(-1, input_ids.shape[-1]))

    def read(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.positions(torch.arange(x.shape[1]))
        kept = torch.ones(x.shape[:2], dtype=x.dtype) if mask is None else mask.to(x.dtype)
        weights = kept[:, None, :] * torch.ones(x.shape[1], x.shape[1], dtype=x.dtype).tril()
        return (weights / weights.sum(-1, keepdim=True)) @ x

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
        return {"logits": self.logits(self.embedded(input_ids), attention_mask)}

    def logits(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.block(self.read(x, mask)) @ self.tokens.weight.t()


class Classifier(Reader):
    """The same, its last position read by a classifier."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
        return {"logits": super().forward(input_ids, attention_mask)["logits"][:, -1, :4]}


def texts() -> tuple[Tensor, Tensor]:
    ids = torch.randint(VOCABULARY, (3, TOKENS), generator=torch.Generator().manual_seed(1))
    labels = torch.cat([ids[:, 1:], torch.full((3, 1), -100)], 1)
    labels[1, 0] = -100
    return ids, labels


def units_by_definition(ids: Tensor, labels: Tensor) -> Tensor:
    """Hidden activation times the gradient of the labelled logits, summed over positions."""
    model = Reader()
    hidden = model.block[0](model.read(model.embedded(ids)))
    logits = model.block[2](hidden.relu()) @ model.tokens.weight.t()
    picked = logits.gather(-1, labels.clamp_min(0)[..., None])[..., 0]
    (g,) = torch.autograd.grad((picked * (labels != -100)).sum(), hidden)
    return (hidden * g).sum(1).detach()


def assert_near(found: Tensor, expected: Tensor) -> None:
    """Sums of relevance are kept in single precision."""
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-4, atol=1e-5)


def refusal(call: Any) -> str:
    with pytest.raises(XaipruneError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_units_are_relevant_to_every_labelled_token(batch_size: int) -> None:
    ids, labels = texts()
    found = attribute(Reader(), ids, labels, UNITS, PLAIN_GRADIENT, batch_size=batch_size)
    torch.testing.assert_close(
        found.sums["block.0"].double(), units_by_definition(ids, labels), rtol=1e-5, atol=1e-6
    )
    with torch.no_grad():
        probabilities = Reader()(ids)["logits"].softmax(-1)
    right = [
        [probabilities[n, t, labels[n, t]] for t in range(TOKENS) if labels[n, t] >= 0] for n in range(3)
    ]
    expected = torch.stack([torch.stack(row).mean() for row in right])
    torch.testing.assert_close(found.confidence, expected)


def test_a_dict_of_inputs_is_its_tensors() -> None:
    ids, labels = texts()
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    found = attribute(Reader(), given, labels, UNITS, Composite())
    expected = attribute(Reader(), ids, labels, UNITS, Composite())
    assert torch.equal(found.sums["block.0"], expected.sums["block.0"])


def test_a_masked_position_changes_nothing() -> None:
    ids, labels = texts()
    mask = torch.ones_like(ids)
    mask[:, 1] = 0
    other = ids.clone()
    other[:, 1] = (ids[:, 1] + 1) % VOCABULARY
    labels[:, 1] = -100
    first, second = (
        attribute(Reader(), {"input_ids": i, "attention_mask": mask}, labels, UNITS, Composite()).sums[
            "block.0"
        ]
        for i in (ids, other)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", PER_UNIT)
def test_criteria_read_ids_and_dicts_alike(name: str) -> None:
    ids, labels = texts()
    score = criterion(name)
    found = score(Reader(), ids, labels, UNITS)["block.0"]
    by_dict = score(Reader(), {"input_ids": ids}, labels, UNITS, batch_size=1)["block.0"]
    assert found.isfinite().all()
    assert found.abs().max() > 0
    torch.testing.assert_close(found, by_dict)


def test_taylor_by_definition() -> None:
    ids, labels = texts()
    found = criterion("taylor")(Reader(), ids, labels, UNITS)["block.0"]
    torch.testing.assert_close(found, units_by_definition(ids, labels).abs().sum(0))


def test_integrated_gradients_fade_the_embeddings_in() -> None:
    ids, labels = texts()
    model = Reader()
    shares = conductance(model, ids, labels, UNITS, None, 200)["block.0"].detach()

    def logit(x: Tensor) -> Tensor:
        picked = model.logits(x).gather(-1, labels.clamp_min(0)[..., None])[..., 0]
        return (picked * (labels != -100)).sum(1)

    x = model.embedded(ids)
    torch.testing.assert_close(shares.sum(1), (logit(x) - logit(0 * x)).detach(), rtol=1e-3, atol=1e-3)


def test_relevance_of_ids_is_that_of_their_embeddings() -> None:
    ids, _ = texts()
    initial = torch.zeros(3, TOKENS, VOCABULARY, dtype=torch.float64)
    initial[:, -1, 2] = 1
    model = Reader()
    x = model.embedded(ids).detach().requires_grad_()
    (g,) = torch.autograd.grad((model.logits(x) * initial).sum(), x)
    found = relevance_at(model, ids, initial, PLAIN_GRADIENT, ["input", "tokens"])
    torch.testing.assert_close(found["tokens"], x.detach() * g)
    torch.testing.assert_close(found["input"], (x.detach() * g).sum(-1))
    by_key = relevance_at(model, {"input_ids": ids}, initial, PLAIN_GRADIENT, ["input_ids"])
    assert torch.equal(by_key["input_ids"], found["input"])


def test_ids_are_known_in_any_view() -> None:
    ids = torch.arange(6).reshape(2, 3)
    known = TokenIds({"input_ids": ids})
    values = torch.randn(3, 2, 4)
    assert known.embedded("embedding", (torch.zeros(9, 4), ids.clone())) is None
    found = known.embedded("embedding", (ids.t(), torch.zeros(9, 4)))
    assert found is not None
    torch.testing.assert_close(known.by_token(*found, values), values.sum(-1).t())
    found = known.embedded("embedding", (ids[:, 1:], torch.zeros(9, 4)))
    assert found is not None
    part = known.by_token(*found, torch.ones(2, 2, 4))
    assert part.tolist() == [[0, 4, 4], [0, 4, 4]]


@pytest.mark.parametrize("start", ["logit", "one", "contrast"])
def test_where_relevance_starts(start: Any) -> None:
    logits = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([[1, -100, 2], [-100, 0, -100]])
    by_labels = initial_relevance(logits, labels, start)
    pairs = TokenTargets(
        *(torch.tensor(v) for v in ([0, 0, 1], [0, 2, 1], [1, 2, 0], [1.0, 1.0, 1.0])), count=2
    )
    torch.testing.assert_close(initial_relevance(logits, pairs, start), by_labels)
    flat = initial_relevance(logits.reshape(6, 4), labels.clamp_min(0).flatten(), start).reshape(2, 3, 4)
    torch.testing.assert_close(by_labels, flat * (labels >= 0)[..., None])
    torch.testing.assert_close(confidence(logits, pairs), confidence(logits, labels))


def test_a_contrast_of_two_tokens_is_the_difference_of_both() -> None:
    ids, _ = texts()
    row, last = torch.arange(3), torch.full((3,), TOKENS - 1)

    def relevance(tokens: list[int], weights: list[float]) -> Tensor:
        many = len(tokens)
        targets = TokenTargets(
            row.repeat(many),
            last.repeat(many),
            torch.tensor(tokens).repeat_interleave(3),
            torch.tensor(weights).repeat_interleave(3),
            count=3,
        )
        return attribute(Reader(), ids, targets, UNITS, Composite(Epsilon(1e-6)), batch_size=2).sums[
            "block.0"
        ]

    assert_near(relevance([4, 7], [1, -1]), relevance([4], [1]) - relevance([7], [1]))


def test_classifiers_of_text_have_a_label_each() -> None:
    ids, _ = texts()
    labels = torch.tensor([0, 3, 1])
    found = attribute(Classifier(), ids, labels, UNITS, PLAIN_GRADIENT).sums["block.0"]
    pairs = torch.full((3, TOKENS), -100)
    pairs[:, -1] = labels
    assert_near(found, units_by_definition(ids, pairs))


def test_the_network_is_left_as_it_was() -> None:
    ids, labels = texts()
    model = Reader()
    before, kept = model(ids)["logits"].detach(), ids.clone()
    recording = Recording(model, ids, (), from_input=True)
    assert torch.equal(recording.logits, before)
    attribute(model, ids, labels, UNITS, Composite())
    assert torch.equal(ids, kept)
    loss = model(ids)["logits"].sum()
    loss.backward()
    assert model.tokens.weight.grad is not None


def test_refusals() -> None:
    ids, labels = texts()

    def attributed(inputs: Any = ids, targets: Any = labels, model: nn.Module | None = None) -> Any:
        return lambda: attribute(model or Reader(), inputs, targets, UNITS, Composite())

    assert "(N, T, vocabulary)" in refusal(attributed(targets=torch.tensor([0, 1, 2])))
    assert "shape (1, 4)" in refusal(attributed(model=Classifier()))
    assert "(3, 4) do not fit logits" in refusal(attributed(targets=labels[:, 1:]))
    assert "in 0..10" in refusal(attributed(targets=labels.clamp_min(0) + VOCABULARY))
    assert "3 images but 2 labels" in refusal(attributed(targets=labels[:2]))
    assert "no position has a label" in refusal(attributed(targets=torch.full_like(labels, -100)))
    assert "one first dimension" in refusal(attributed({"input_ids": ids, "attention_mask": ids[:2]}))
    assert "one size" in refusal(lambda: TokenTargets(ids[0], ids[0], ids[0], torch.ones(2), 3))
    row = torch.zeros(1, dtype=torch.int64)
    assert "positions must be in 0..4" in refusal(
        attributed(targets=TokenTargets(row, row + TOKENS, row, torch.ones(1), 3))
    )
