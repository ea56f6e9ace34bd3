"""Handlers for LayerNorm, RMSNorm, GroupNorm and normalisation to unit length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xaiprune.attribution.lrp.engine.nodes import NormNode
from xaiprune.attribution.lrp.engine.recorder import Op, Recorder
from xaiprune.attribution.lrp.engine.tags import constants
from xaiprune.registry import register_operation


@register_operation("layer_norm")
def layer_norm(
    rec: Recorder,
    op: Op,
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    weight, bias = constants(weight, bias)
    y, _, rstd = torch.native_layer_norm(x.detach(), tuple(normalized_shape), weight, bias, eps)
    dims = tuple(range(-len(normalized_shape), 0))

    def detached(g: Tensor) -> Tensor:
        scaled = g * rstd if weight is None else g * weight * rstd
        return scaled - scaled.mean(dims, keepdim=True)

    return _norm(rec, x, y, lambda t: F.layer_norm(t, tuple(normalized_shape), weight, bias, eps), detached)


@register_operation("rms_norm")
def rms_norm(
    rec: Recorder,
    op: Op,
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    (weight,) = constants(weight)

    def f(t: Tensor) -> Tensor:
        return F.rms_norm(t, tuple(normalized_shape), weight, eps)

    dims = tuple(range(-len(normalized_shape), 0))
    eps_used = torch.finfo(x.dtype).eps if eps is None else eps
    rrms = (x.detach().square().mean(dims, keepdim=True) + eps_used).rsqrt()

    def detached(g: Tensor) -> Tensor:
        return g * rrms if weight is None else g * weight * rrms

    return _norm(rec, x, f(x.detach()), f, detached)


@register_operation("group_norm")
def group_norm(
    rec: Recorder,
    op: Op,
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    weight, bias = constants(weight, bias)
    grouped = (x.shape[0], num_groups, -1)
    rstd = (x.detach().reshape(grouped).var(-1, unbiased=False, keepdim=True) + eps).rsqrt()
    per_channel = None if weight is None else weight.view(-1, *[1] * (x.dim() - 2))

    def f(t: Tensor) -> Tensor:
        return F.group_norm(t, num_groups, weight, bias, eps)

    def detached(g: Tensor) -> Tensor:
        scaled = (g if per_channel is None else g * per_channel).reshape(grouped) * rstd
        return (scaled - scaled.mean(-1, keepdim=True)).reshape(g.shape)

    return _norm(rec, x, f(x.detach()), f, detached)


@register_operation("normalize")
def normalize(
    rec: Recorder, op: Op, x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None
) -> Tensor:
    """x / ||x||: the length is a constant, like a norm's deviation (cosine attention)."""
    length = x.detach().norm(p, dim, keepdim=True).clamp_min(eps)
    return _norm(rec, x, x.detach() / length, lambda t: F.normalize(t, p, dim, eps), lambda g: g / length)


def _norm(
    rec: Recorder, x: Tensor, y: Tensor, f: Callable[[Tensor], Tensor], detached: Callable[[Tensor], Tensor]
) -> Tensor:
    with torch.enable_grad():
        out: Tensor = NormNode.apply(x, y, f, detached, rec.pass_)
    return out
