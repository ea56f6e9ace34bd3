"""Handlers for softmax and attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xaiprune.attribution.lrp.engine.attention import AttentionNode, SoftmaxNode
from xaiprune.attribution.lrp.engine.recorder import Op, Recorder
from xaiprune.attribution.lrp.engine.tags import Tag, set_tag, tag_of
from xaiprune.registry import register_operation


@register_operation("softmax")
def softmax(rec: Recorder, op: Op, x: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Tensor:
    if dim is None:
        raise op.refused("softmax without a dimension has no relevance rule")
    s = torch.softmax(x.detach(), dim, dtype=kwargs.get("dtype"))
    with torch.enable_grad():
        out: Tensor = SoftmaxNode.apply(x, s, dim, rec.pass_)
    return set_tag(out, Tag(nonnegative=True, gate="softmax"))


@register_operation("scaled_dot_product_attention")
def attention(
    rec: Recorder,
    op: Op,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if dropout_p:
        raise op.refused("attention with dropout has no relevance rule")
    if query.dim() != 4 and enable_gqa:
        raise op.refused(
            "attention with grouped queries of other shapes than (N, heads, tokens, channels) has no rule"
        )
    bias = attn_mask if tag_of(attn_mask) else None
    options = {
        "attn_mask": None if attn_mask is None else attn_mask.detach(),
        "is_causal": is_causal,
        "scale": scale,
        "enable_gqa": enable_gqa,
    }
    depends = tuple(tag_of(part) is not None for part in (query, key, value))
    with torch.enable_grad():
        out: Tensor = AttentionNode.apply(query, key, value, bias, depends, options, rec.pass_)
    return out
