"""Conformance of transformers' language models: what has to hold for each, from ids on (tiny, float64)."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.attribution.test_transformers import (
    CLASSES,
    TEXT,
    LastToken,
    at_embeddings,
    build,
    distance,
    every_attention,
    every_text_network,
)
from xaiprune.attribution import attribute, initial_relevance
from xaiprune.attribution.lrp import PLAIN_GRADIENT, Composite, Epsilon, Recording, relevance_at
from xaiprune.attribution.targets import TokenTargets
from xaiprune.embedding import Leaves
from xaiprune.forward import logits_of, part_of, run
from xaiprune.units import UnitLayer

TOKENS, ANSWER = 7, 3
BY_LXT = ("Llama", "Qwen2", "Qwen3", "Gemma 3", "GPT-2", "BERT")
ATTNLRP = Composite(Epsilon(1e-6))


def inputs_of(model: nn.Module) -> dict[str, Tensor]:
    """Two texts; of an encoder-decoder, with the first tokens of its answer."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(3, CLASSES, (2, TOKENS), generator=generator)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        given["decoder_input_ids"] = torch.randint(3, CLASSES, (2, ANSWER), generator=generator)
    return given


def targets_of(logits: Tensor) -> Any:
    """Two tokens against a third at the last position; of a classifier, a class."""
    if logits.dim() == 2:
        return torch.tensor([3, 5])
    count, last = len(logits), logits.shape[1] - 1
    rows = torch.arange(count).repeat_interleave(3)
    tokens, weights = torch.tensor([3, 5, 8]).repeat(count), torch.tensor([1.0, 1.0, -2.0]).repeat(count)
    return TokenTargets(rows, torch.full_like(rows, last), tokens, weights, count)


def relevance(model: nn.Module, given: dict[str, Tensor], composite: Composite) -> dict[str, Tensor]:
    """Of every token, by input, from the targets on."""
    recording = Recording(model, given, (), from_input=True)
    initial = initial_relevance(recording.logits, targets_of(recording.logits), "logit")
    return recording.backward(composite, initial, lambda *_: None, last=True)


def mlp_of(model: nn.Module) -> UnitLayer:
    """The neurons of the first MLP: the input of the layer that reads them."""
    endings = ("down_proj", "mlp.c_proj", "dense_4h_to_h", "fc2", "layer.0.output.dense", "DenseReluDense.wo")
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if name.endswith(endings) and isinstance(weight, Tensor):
            width = weight.shape[0] if name.endswith("c_proj") else weight.shape[1]
            return UnitLayer(name, "neurons", width, name, where="input", dim=-1)
    raise AssertionError("no MLP")


@every_attention
@every_text_network
def test_logits_stay_and_gradients_can_be_taken_afterwards(name: str, attention: str) -> None:
    model = build(TEXT[name], attention)
    given = inputs_of(model)
    with torch.no_grad():
        before = logits_of(run(model, given))
    recording = Recording(model, given, (), from_input=True)
    recording.backward(Composite(), torch.ones_like(recording.logits), lambda *_: None, last=True)
    with torch.no_grad():
        assert torch.equal(logits_of(run(model, given)), before)
    torch.testing.assert_close(recording.logits, before, rtol=1e-6, atol=1e-9)
    logits_of(run(model, given)).sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
    assert model.get_input_embeddings().weight.grad is not None


@every_attention
@every_text_network
def test_plain_treatments_give_activation_times_gradient(name: str, attention: str) -> None:
    model = build(TEXT[name], attention)
    given = inputs_of(model)
    found = relevance(model, given, PLAIN_GRADIENT)
    leaves = Leaves(given)
    logits = logits_of(leaves.run(model))
    weights = initial_relevance(logits, targets_of(logits), "logit")
    expected = leaves.times_gradient((logits * weights).sum())
    assert set(found) == set(expected) == set(given) - {"attention_mask"}
    for key in expected:
        assert distance(found[key], expected[key]) < 1e-6  # eager attention's softmax is in single precision


@every_text_network
def test_eager_and_fused_attention_agree(name: str) -> None:
    eager, fused = (build(TEXT[name], attention) for attention in ("eager", "sdpa"))
    found, expected = (relevance(model, inputs_of(model), ATTNLRP) for model in (eager, fused))
    for key in expected:
        assert distance(found[key], expected[key]) < 1e-3


@every_attention
@every_text_network
def test_a_padded_batch_is_its_single_texts(name: str, attention: str) -> None:
    """Relevance of tokens and of neurons; what is behind the mask takes none."""
    model = build(TEXT[name], attention)
    given = inputs_of(model)
    short = TOKENS - 2
    given["attention_mask"][1, short:] = 0
    answers = model.config.is_encoder_decoder
    classifies = "Classification" in type(model).__name__
    last = torch.tensor([ANSWER - 1] * 2 if answers else [TOKENS - 1, short - 1])

    def targets(rows: list[int]) -> Any:
        if classifies:
            return torch.tensor([3, 5])[rows]
        index = torch.arange(len(rows))
        return TokenTargets(index, last[rows], torch.tensor([3, 5])[rows], torch.ones(len(rows)), len(rows))

    units = [mlp_of(model)]
    together = attribute(model, given, targets([0, 1]), units, ATTNLRP)
    alone = {key: value if key.startswith("decoder") else value[:, :short] for key, value in given.items()}
    for row, inputs in ((0, given), (1, alone)):
        single = attribute(model, part_of(inputs, slice(row, row + 1)), targets([row]), units, ATTNLRP)
        for layer in single.sums:
            assert distance(together.sums[layer][row], single.sums[layer][0]) < 1e-3
    recording = Recording(model, given, (), from_input=True)
    initial = initial_relevance(recording.logits, targets([0, 1]), "logit")
    tokens = recording.backward(ATTNLRP, initial, lambda *_: None, last=True)["input_ids"]
    assert not tokens[1, short:].any()
    assert tokens[1, :short].abs().min() > 0


def test_mixtures_of_experts_are_refused_by_name() -> None:
    import transformers

    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 8}
    config = transformers.MixtralConfig(
        **sizes, vocab_size=CLASSES, num_key_value_heads=1, num_local_experts=2
    )
    model = transformers.MixtralForCausalLM(config).eval()
    with pytest.raises(ValueError, match=r"module 'model\.layers\.0\.mlp"):
        relevance_at(
            model, torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 3, CLASSES), ATTNLRP, ["input"]
        )


@pytest.mark.parametrize("name", BY_LXT)
def test_the_same_as_lxt(name: str, tmp_path: Path) -> None:
    """With epsilon 0, as lxt's patches have it, relevance of the embeddings is the same."""
    if importlib.util.find_spec("lxt") is None:
        pytest.skip("lxt is not installed (pip install --no-deps lxt==2.1)")
    file = tmp_path / "relevance.pt"
    repository = Path(__file__).parents[2]
    path = os.pathsep.join([str(repository), *filter(None, [os.environ.get("PYTHONPATH")])])
    call = [sys.executable, "-m", "tests.attribution.lxt_reference", name, str(file)]
    found = subprocess.run(
        call, capture_output=True, text=True, cwd=repository, env={**os.environ, "PYTHONPATH": path}
    )
    assert found.returncode == 0, found.stderr
    ours = at_embeddings(LastToken(build(TEXT[name], "eager")), Composite(Epsilon(0.0)))
    assert distance(ours, torch.load(file)) < 1e-5
