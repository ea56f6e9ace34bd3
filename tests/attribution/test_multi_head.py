"""``nn.MultiheadAttention`` in every use against the same written out (float64)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xaiprune.attribution.lrp import PLAIN_GRADIENT, Composite, relevance_at
from xaiprune.testing.operations import FunctionNetwork

from .test_attention import EXACT, heads, normal

MASKS = {
    "none": {},
    "causal": {"attn_mask": torch.ones(4, 4).triu(1).bool()},
    "summand": {"attn_mask": normal(4, 4, seed=7)},
    "for each head": {"attn_mask": normal(6, 4, 4, seed=7)},
    "padding": {"key_padding_mask": torch.tensor([[False] * 4, [False, False, True, True]])},
    "padding and causal": {
        "attn_mask": torch.ones(4, 4).triu(1).bool(),
        "key_padding_mask": torch.tensor([[False] * 4, [False, False, True, True]]),
    },
}


@pytest.mark.parametrize("variant", ["attnlrp", "cp", "zplus", "gradient"])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("mask", list(MASKS))
def test_multi_head_attention(mask: str, need_weights: bool, variant: str) -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(12, 3, batch_first=True).double().eval()
    module.in_proj_bias.data = normal(36, seed=5)
    x = normal(2, 4, 12)

    def function(x: Tensor) -> Tensor:
        return module(x, x, x, need_weights=need_weights, **MASKS[mask])[0]

    def written_out(x: Tensor) -> Tensor:
        q, k, v = (
            heads(part) for part in F.linear(x, module.in_proj_weight, module.in_proj_bias).chunk(3, -1)
        )
        logits = q * 0.5 @ k.transpose(-2, -1)
        for of in MASKS[mask].values():
            of = torch.zeros(of.shape).double().masked_fill(of, -torch.inf) if of.dtype == torch.bool else of
            logits = logits + (
                of if of.shape == (4, 4) else of.view(2, -1, of.numel() // 8 if of.dim() < 3 else 4, 4)
            )
        out = (logits.softmax(-1) @ v).transpose(1, 2).flatten(-2)
        return F.linear(out, module.out_proj.weight, module.out_proj.bias)

    composite, initial = Composite(EXACT, softmax=variant), normal(2, 48, seed=2)
    found, expected = (
        relevance_at(FunctionNetwork(f), x, initial, composite, ["input"])["input"]
        for f in (function, written_out)
    )
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "options", [{}, {"dropout": 0.0}, {"norm_first": True, "activation": "gelu"}], ids=str
)
def test_pytorchs_transformer_layer(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer, x = (
        nn.TransformerEncoderLayer(12, 3, 16, batch_first=True, **options).double().eval(),
        normal(2, 4, 12),
    )
    initial = normal(2, 48, seed=2)
    found = relevance_at(FunctionNetwork(layer), x, initial, PLAIN_GRADIENT, ["input"])["input"]
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad((layer(leaf).flatten(1) * initial).sum(), leaf)
    torch.testing.assert_close(found, x * g)


@pytest.mark.parametrize("average", [True, False])
def test_attention_weights_that_are_read_carry_relevance(average: bool) -> None:
    torch.manual_seed(0)
    module, x = nn.MultiheadAttention(12, 3, batch_first=True).double().eval(), normal(2, 4, 12)

    def function(x: Tensor) -> Tensor:
        out, weights = module(x, x, x, average_attn_weights=average)
        return torch.cat((out.flatten(1), weights.flatten(1)), 1)

    initial = normal(*function(x).shape, seed=2)
    found = relevance_at(FunctionNetwork(function), x, initial, PLAIN_GRADIENT, ["input"])["input"]
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad((function(leaf) * initial).sum(), leaf)
    torch.testing.assert_close(found, x * g)


def test_queries_that_do_not_depend_on_the_image() -> None:
    torch.manual_seed(0)
    module, x = nn.MultiheadAttention(12, 3, batch_first=True).double().eval(), normal(2, 4, 12)
    query = nn.Parameter(normal(1, 2, 12, seed=3))

    def function(x: Tensor) -> Tensor:
        return module(query.expand(len(x), -1, -1), x, x, need_weights=False)[0]

    initial = normal(2, 24, seed=2)
    found = relevance_at(FunctionNetwork(function), x, initial, PLAIN_GRADIENT, ["input"])["input"]
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad((function(leaf).flatten(1) * initial).sum(), leaf)
    torch.testing.assert_close(found, x * g)
