"""Relevance through softmax and scaled dot-product attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xaiprune.attribution.lrp.engine.nodes import share
from xaiprune.attribution.lrp.engine.passes import Pass

# Against t, which has the size of attention logits; s_j, which can be tiny, has cancelled.
_STABILIZER = 1e-9


def softmax_backward(s: Tensor, g: Tensor, dim: int) -> Tensor:
    """Plain gradient: g_i = s_i (g_i - sum_j s_j g_j)  (AttnLRP, Achtibat et al. 2024, eq. 13 over x)."""
    weighted = s * g
    return weighted - s * weighted.sum(dim, keepdim=True)


def softmax_zplus_backward(x: Tensor, s: Tensor, g: Tensor, dim: int) -> Tensor:
    """z+ over the softmax's linearisation, in linear time and memory.

    Output j is linearised as sum_i x_i J_ji with J_ji = s_j (delta_ij - s_i), and relevance follows the
    positive contributions c_ji = max(0, x_i J_ji) alone (the `ZPlus` softmax of the PXP code, without
    virtual bias). With n_i = max(0, -x_i) s_i and N = sum n, that is

        sum_i c_ji = s_j t_j,   t_j = max(0, x_j) (1 - s_j) + N - n_j,
        q_j = R_j / (s_j t_j) = g_j / t_j,
        R_i = max(0, x_i) s_i (1 - s_i) q_i + n_i (sum_j s_j q_j - s_i q_i).
    """
    # A masked key has weight 0 and takes no relevance; its -inf must not meet a 0 in a product.
    x = torch.where(x.isinf(), torch.zeros_like(x), x)
    positive = x > 0
    negative_mass = torch.where(positive, torch.zeros_like(x), -x * s)
    own = torch.where(positive, x * (1 - s), torch.zeros_like(x))
    q = g / (own + _sum_of_others(negative_mass, dim) + _STABILIZER)
    return torch.where(positive, s * (1 - s) * q, -s * _sum_of_others(s * q, dim))


def _sum_of_others(values: Tensor, dim: int) -> Tensor:
    """At every place the sum over all other places; "all minus this one" would cancel where one dominates."""
    before = values.cumsum(dim).roll(1, dim)
    after = values.flip(dim).cumsum(dim).roll(1, dim)
    before.select(dim, 0).zero_()
    after.select(dim, 0).zero_()
    return before + after.flip(dim)


class SoftmaxNode(torch.autograd.Function):
    """Softmax over one dimension."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor, dim: int, pass_: Pass) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.x, ctx.s, ctx.dim, ctx.pass_, ctx.module = x, s, dim, pass_, pass_.module
        return s.view_as(s)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        g, softmax = grads[0], ctx.pass_.composite.softmax
        if g is None or softmax == "cp":
            return None, None, None, None
        if softmax == "zplus":
            found = softmax_zplus_backward(ctx.x, ctx.s, g, ctx.dim)
        else:
            found = softmax_backward(ctx.s, g, ctx.dim)
        if ctx.pass_.account is not None:
            # a masked key has the logit -inf and takes nothing
            ctx.pass_.account(ctx.module, "softmax", g * ctx.s, (found * ctx.x).nan_to_num(0.0, 0.0, 0.0))
        return found, None, None, None


class AttentionNode(torch.autograd.Function):
    """Fused attention: the fused kernel's own backward, scaled.

    Both products split evenly and the softmax is its plain gradient, so queries and keys get 1/4 and
    values 1/2 of the plain gradient (AttnLRP); a bias that depends on the image, which is added to the
    attention's logits, gets 1/2 as well. Under CP-LRP values get all of it. What stands beside a constant
    (queries that are learned, keys of a fixed text) gets its part, too. Only zplus needs the attention
    weights, and makes them in the backward.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias: Tensor | None,
        depends: tuple[bool, ...],
        options: dict[str, Any],
        pass_: Pass,
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.depends = depends  # of queries, keys, values: on the image
        active = (q, k, v) if bias is None else (q, k, v, bias)
        with torch.enable_grad():
            inner = [t.detach().requires_grad_() for t in active]
            if bias is not None:
                options = {**options, "attn_mask": inner[3]}
            out = F.scaled_dot_product_attention(inner[0], inner[1], inner[2], **options)
        ctx.inner, ctx.out, ctx.options, ctx.pass_ = inner, out, options, pass_
        ctx.module = pass_.module
        return out.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        g, composite = grads[0], ctx.pass_.composite
        if g is None:
            return (None,) * 7
        queries, keys, values = ctx.depends
        weights, value = share("weights", composite), share("value", composite)
        if not values:
            weights = float(weights > 0)
        if not (queries or keys or len(ctx.inner) > 3):
            value = 1.0
        similarity = weights * (share("similarity", composite) if queries and keys else 1.0)
        parts = (similarity, similarity, value, weights)
        plain: Sequence[Tensor | None]
        if composite.softmax == "zplus":
            plain = _zplus_attention([t.detach() for t in ctx.inner[:3]], ctx.options, g)[: len(ctx.inner)]
        elif weights == 0:
            plain = [None, None, *torch.autograd.grad(ctx.out, ctx.inner[2:3], g, retain_graph=True)]
        else:
            plain = torch.autograd.grad(ctx.out, ctx.inner, g, retain_graph=True)
        scaled = [_scaled(grad, part) for grad, part in zip(plain, parts, strict=False)]
        if ctx.pass_.account is not None:
            active = zip(ctx.inner, scaled, (*ctx.depends, True), strict=False)
            below = [
                (t.detach() * s).nan_to_num(0.0, 0.0, 0.0).sum() for t, s, d in active if d and s is not None
            ]
            ctx.pass_.account(ctx.module, "softmax", g * ctx.out.detach(), sum(below, g.new_zeros(())))
        return (*scaled, *[None] * (7 - len(scaled)))


def _scaled(g: Tensor | None, factor: float) -> Tensor | None:
    return g if g is None or factor == 1 else g * factor


def _zplus_attention(
    inputs: Sequence[Tensor], options: dict[str, Any], g: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Softmax by z+, the products' plain gradients; attention weights are built explicitly.

    Returns:
        Of queries, keys, values, and of a bias of the attention's logits where there is one.
    """
    q, k, v = inputs
    scale = options.get("scale") or 1 / math.sqrt(q.shape[-1])
    groups = q.shape[1] // k.shape[1] if options.get("enable_gqa") else 1
    k, v = (t.repeat_interleave(groups, 1) if groups > 1 else t for t in (k, v))
    similarity = q @ k.transpose(-2, -1) * scale
    masked = similarity
    mask = None if options.get("attn_mask") is None else options["attn_mask"].detach()
    if options.get("is_causal"):
        mask = torch.ones(similarity.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is not None:
        masked = similarity.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else similarity + mask
    weights = masked.softmax(-1)
    g_v = weights.transpose(-2, -1) @ g
    g_similarity = softmax_zplus_backward(masked, weights, g @ v.transpose(-2, -1), -1)
    g_bias = None if mask is None else g_similarity.sum_to_size(mask.shape)
    g_similarity = g_similarity * scale
    g_k = g_similarity.transpose(-2, -1) @ q
    if groups > 1:
        g_k, g_v = (t.unflatten(1, (-1, groups)).sum(2) for t in (g_k, g_v))
    return g_similarity @ k, g_k, g_v, g_bias
