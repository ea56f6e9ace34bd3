"""Operations of transformers' own classes: tiny random networks, both spellings of attention (float64)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.architectures import TRANSFORMERS, randomized
from xaiprune.attribution import heatmaps
from xaiprune.attribution.lrp import PLAIN_GRADIENT, Composite, Epsilon, relevance_at

transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed (pip install xaiprune[language])"
)

CLASSES, WIDTH = 40, 32
_SIZES = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": WIDTH, "intermediate_size": 48}
_DECODER = {
    **_SIZES,
    "vocab_size": CLASSES,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GEMMA = {**_DECODER, "head_dim": 8, "sliding_window": 4, "query_pre_attn_scalar": 8}
_ENCODER = {**_SIZES, "vocab_size": CLASSES, "num_labels": CLASSES}
_T5 = {"vocab_size": CLASSES, "d_model": WIDTH, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}

TEXT: dict[str, tuple[str, str, dict[str, Any]]] = {
    # name: (configuration, network, sizes)
    "Llama": ("LlamaConfig", "LlamaForCausalLM", _DECODER),
    "Mistral": ("MistralConfig", "MistralForCausalLM", {**_DECODER, "sliding_window": 4}),
    "Qwen2": ("Qwen2Config", "Qwen2ForCausalLM", _DECODER),
    "Qwen3": ("Qwen3Config", "Qwen3ForCausalLM", {**_DECODER, "head_dim": 8}),
    "Gemma 2": ("Gemma2Config", "Gemma2ForCausalLM", _GEMMA),
    "Gemma 3": ("Gemma3TextConfig", "Gemma3ForCausalLM", _GEMMA),
    "Phi-3": ("Phi3Config", "Phi3ForCausalLM", _DECODER),
    "GPT-2": (
        "GPT2Config",
        "GPT2LMHeadModel",
        {"vocab_size": CLASSES, "n_embd": WIDTH, "n_layer": 2, "n_head": 4, "eos_token_id": 2},
    ),
    "GPT-NeoX": ("GPTNeoXConfig", "GPTNeoXForCausalLM", {**_SIZES, "vocab_size": CLASSES}),
    "OPT": (
        "OPTConfig",
        "OPTForCausalLM",
        {**_SIZES, "ffn_dim": 48, "vocab_size": CLASSES, "word_embed_proj_dim": WIDTH},
    ),
    "BERT": ("BertConfig", "BertForSequenceClassification", _ENCODER),
    "RoBERTa": ("RobertaConfig", "RobertaForSequenceClassification", _ENCODER),
    "T5": ("T5Config", "T5ForConditionalGeneration", _T5),
    "Flan-T5": (
        "T5Config",
        "T5ForConditionalGeneration",
        {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
}  # fmt: skip
# Bias-free but for the embeddings: with norms and attention weights constant, relevance is conserved.
CONSERVING = ("Llama", "Mistral", "Qwen3", "Gemma 2", "Gemma 3", "Phi-3")
every_text_network = pytest.mark.parametrize("name", list(TEXT))
every_attention = pytest.mark.parametrize("attention", ["eager", "sdpa"])


def build(entry: tuple[str, str, dict[str, Any]], attention: str) -> nn.Module:
    """The network with random weights, no part of it switched off."""
    config = getattr(transformers, entry[0])(**entry[2])
    config._attn_implementation = attention
    torch.manual_seed(0)
    try:
        model = getattr(transformers, entry[1])(config).double().eval()
    except ValueError as error:
        pytest.skip(f"no {attention} in transformers {transformers.__version__}: {error}")
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
    return model


class LastToken(nn.Module):
    """Embeddings to the logits of the last position (or of the whole text)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        given = {"attention_mask": torch.ones(x.shape[:2], dtype=torch.int64)}
        if self.model.config.is_encoder_decoder:
            given["decoder_input_ids"] = torch.zeros(len(x), 3, dtype=torch.int64)
        logits: Tensor = self.model(inputs_embeds=x, **given).logits
        return logits[:, -1] if logits.dim() == 3 else logits


def embeddings() -> Tensor:
    return torch.randn(2, 9, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def at_embeddings(model: nn.Module, composite: Composite) -> Tensor:
    initial = torch.zeros(2, CLASSES, dtype=torch.float64)
    initial[:, 3] = 1
    return relevance_at(model, embeddings(), initial, composite, ["input"])["input"]


def distance(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


@every_attention
@every_text_network
def test_with_gradients_for_all_treatments_it_is_the_plain_gradient(name: str, attention: str) -> None:
    model = LastToken(build(TEXT[name], attention))
    with torch.no_grad():
        before = model(embeddings())
    found = at_embeddings(model, PLAIN_GRADIENT)
    with torch.no_grad():
        assert torch.equal(model(embeddings()), before)
    leaf = embeddings().requires_grad_()
    (g,) = torch.autograd.grad(model(leaf)[:, 3].sum(), leaf)
    # eager attention takes its softmax in single precision
    assert distance(found, embeddings() * g) < 1e-6


@pytest.mark.parametrize("softmax", ["attnlrp", "cp", "zplus"])
@every_text_network
def test_both_spellings_of_attention_give_the_same(name: str, softmax: str) -> None:
    composite = Composite(Epsilon(1e-3), softmax=softmax)
    found, expected = (
        at_embeddings(LastToken(build(TEXT[name], attention)), composite) for attention in ("eager", "sdpa")
    )
    assert found.isfinite().all()
    assert distance(found, expected) < 1e-4


@every_attention
@pytest.mark.parametrize("name", CONSERVING)
def test_without_biases_relevance_is_conserved(name: str, attention: str) -> None:
    model = LastToken(build(TEXT[name], attention))
    with torch.no_grad():
        logits = model(embeddings())[:, 3]
    found = at_embeddings(model, Composite(Epsilon(0.0), softmax="cp")).sum((1, 2))
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-6)


@every_attention
@pytest.mark.parametrize("name", list(TRANSFORMERS))
def test_image_classifiers_as_they_are(name: str, attention: str) -> None:
    network = TRANSFORMERS[name]
    try:
        model = randomized(network.make(network.name, attention, **network.options))
    except ValueError as error:
        pytest.skip(f"no {attention} in transformers {transformers.__version__}: {error}")
    images = network.images()
    leaf = images.clone().requires_grad_()
    (g,) = torch.autograd.grad(model(leaf).logits[:, 3].sum(), leaf)
    found = heatmaps(model, images, torch.full((len(images),), 3), PLAIN_GRADIENT)
    assert distance(found, (images * g).sum(1)) < 1e-6
