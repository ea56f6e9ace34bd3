"""Handlers for softmax and attention."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xaiprune.attribution.lrp.engine.attention import AttentionNode, SoftmaxNode
from xaiprune.attribution.lrp.engine.recorder import Op, Recorder
from xaiprune.attribution.lrp.engine.tags import Tag, set_tag, tag_of
from xaiprune.attribution.lrp.ops.linear import linear_call
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
    with torch.enable_grad():
        out: Tensor = AttentionNode.apply(query, key, value, bias, options, rec.pass_)
    return out


@register_operation("multi_head_attention_forward")
def multi_head_attention(
    rec: Recorder,
    op: Op,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    need_weights: bool = True,
    **options: Any,
) -> tuple[Tensor, None]:
    """``nn.MultiheadAttention``, whose forward bypasses its projection modules: (tokens, N, channels)."""
    extras = [bias_k, bias_v, options.get("key_padding_mask"), options.get("attn_mask")]
    if in_proj_weight is None or add_zero_attn or need_weights or any(e is not None for e in extras):
        raise op.refused(
            "nn.MultiheadAttention with masks, extra key biases, separate projection weights or "
            "need_weights=True has no relevance rule"
        )
    size = embed_dim_to_check
    name = f"{op.module}.in_proj"

    def project(x: Tensor, rows: slice) -> Tensor:
        weight = rec.weights.get(f"rows {rows}", (in_proj_weight,), lambda: in_proj_weight.detach()[rows])
        bias = None if in_proj_bias is None else in_proj_bias.detach()[rows]
        return linear_call(
            rec, op, x, weight, bias, None, lambda: F.linear(x, weight, bias), name, rec.weights
        )

    def heads(x: Tensor) -> Tensor:  # (tokens, N, size) -> (N, heads, tokens, size / heads)
        return x.unflatten(-1, (num_heads, -1)).permute(1, 2, 0, 3)

    with torch.enable_grad():
        if query is key and key is value:
            q, k, v = project(query, slice(0, 3 * size)).chunk(3, -1)
        else:
            parts = enumerate((query, key, value))
            q, k, v = (project(x, slice(i * size, (i + 1) * size)) for i, x in parts)
        out = AttentionNode.apply(heads(q), heads(k), heads(v), None, {}, rec.pass_)
        out = out.permute(0, 2, 1, 3).flatten(2)  # (N, tokens, size)
    name = f"{op.module}.out_proj"
    out = rec.tap(set_tag(out, Tag()), name, "input")
    projected = linear_call(
        rec, op, out, out_proj_weight, out_proj_bias, None,
        lambda: F.linear(out, out_proj_weight, out_proj_bias), name,
    )  # fmt: skip
    projected = rec.tap(projected, name, "output")
    with torch.enable_grad():
        return set_tag(projected.transpose(0, 1), Tag()), None
