"""Handler for ``nn.MultiheadAttention``, whose forward bypasses its projection modules."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xaiprune.attribution.lrp.engine.recorder import Op, Recorder
from xaiprune.attribution.lrp.engine.tags import Tag, set_tag, tag_of
from xaiprune.attribution.lrp.ops.linear import linear_call
from xaiprune.registry import register_operation


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
) -> tuple[Tensor, Tensor | None]:
    """Takes (tokens, N, channels); attention weights that are returned carry relevance, too."""
    masks = options.get("attn_mask"), options.get("key_padding_mask")
    extra_keys = add_zero_attn or bias_k is not None or bias_v is not None
    if in_proj_weight is None or extra_keys or any(map(tag_of, masks)):
        raise op.refused(
            "nn.MultiheadAttention with extra key biases, separate projection weights or a mask that depends "
            "on the image has no relevance rule"
        )
    size = embed_dim_to_check
    name = f"{op.module}.in_proj"

    def project(x: Tensor, rows: slice) -> Tensor:
        weight = rec.weights.get(f"rows {rows}", (in_proj_weight,), lambda: in_proj_weight.detach()[rows])
        bias = None if in_proj_bias is None else in_proj_bias.detach()[rows]
        if tag_of(x) is None:
            return F.linear(x.detach(), weight, bias)
        return linear_call(
            rec, op, x, weight, bias, None, lambda: F.linear(x, weight, bias), name, rec.weights
        )

    def heads(x: Tensor) -> Tensor:  # (tokens, N, size) -> (N, heads, tokens, size / heads)
        tag = tag_of(x)
        with torch.enable_grad():
            x = x.unflatten(-1, (num_heads, -1)).permute(1, 2, 0, 3)
        return x if tag is None else set_tag(x, Tag())

    if query is key and key is value:
        projected = project(query, slice(0, 3 * size))
        with torch.enable_grad():
            parts = [set_tag(part, Tag()) for part in projected.chunk(3, -1)]
    else:
        inputs = enumerate((query, key, value))
        parts = [project(x, slice(n * size, (n + 1) * size)) for n, x in inputs]
    q, k, v = map(heads, parts)
    mask = _sum_of_masks(*masks, num_heads, q.dtype)
    weights: Tensor | None = None
    if need_weights:
        weights = rec.call(
            torch.matmul, rec.call(torch.mul, q, q.shape[-1] ** -0.5), rec.call(torch.transpose, k, -2, -1)
        )
        weights = rec.call(torch.softmax, weights if mask is None else rec.call(torch.add, weights, mask), -1)
        out = rec.call(torch.matmul, weights, v)
        if options.get("average_attn_weights", True):
            weights = rec.call(torch.mean, weights, 1)
    else:
        out = rec.call(F.scaled_dot_product_attention, q, k, v, mask)
    with torch.enable_grad():
        out = set_tag(out.permute(0, 2, 1, 3).flatten(2), Tag())  # (N, tokens, size)
    name = f"{op.module}.out_proj"
    out = rec.tap(out, name, "input")
    projected = linear_call(
        rec, op, out, out_proj_weight, out_proj_bias, None,
        lambda: F.linear(out, out_proj_weight, out_proj_bias), name,
    )  # fmt: skip
    projected = rec.tap(projected, name, "output")
    with torch.enable_grad():
        return set_tag(projected.transpose(0, 1), Tag()), weights


def _sum_of_masks(
    attention: Tensor | None, padding: Tensor | None, heads: int, dtype: torch.dtype
) -> Tensor | None:
    """The masks of ``nn.MultiheadAttention`` as one summand of its logits, (N, heads, tokens, keys) or less.

    Args:
        attention: (tokens, keys) or (N * heads, tokens, keys); True where a key is left out, or a summand.
        padding: (N, keys), the same.
        heads: How many heads.
        dtype: Of the logits.
    """
    if attention is not None and attention.dim() == 3:
        attention = attention.unflatten(0, (-1, heads))
    if padding is not None:
        padding = padding[:, None, None]
    summands = [
        torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)
        if mask.dtype == torch.bool
        else mask.detach()
        for mask in (attention, padding)
        if mask is not None
    ]
    return sum(summands[1:], summands[0]) if summands else None
