"""Handlers for activations and gates."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xaiprune.attribution.lrp.engine.recorder import Op, Recorder
from xaiprune.attribution.lrp.engine.tags import Tag, set_tag, tag_of
from xaiprune.registry import register_operation

# f'(0), the limit of f(x)/x, for functions with f(0) = 0
_SLOPE_AT_ZERO = {
    "gelu": 0.5,
    "silu": 0.5,
    "hardswish": 0.5,
    "mish": 0.6,
    "tanh": 1.0,
    "elu": 1.0,
    "celu": 1.0,
    "selu": 1.7580993408473766,
    "relu6": 0.0,
    "hardtanh": 1.0,
    "leaky_relu": 1.0,
    "prelu": 1.0,
    "softsign": 1.0,
    "hardshrink": 0.0,
    "softshrink": 0.0,
    "tanhshrink": 0.0,
}


@register_operation("relu")
def relu(rec: Recorder, op: Op, x: Tensor, inplace: bool = False) -> Tensor:
    """f(x)/x and f'(x) are the same 0/1 mask: relevance passes."""
    with torch.enable_grad():
        return set_tag(torch.relu(x), Tag(nonnegative=True))


@register_operation(*_SLOPE_AT_ZERO)
def activation(rec: Recorder, op: Op, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    kwargs.pop("inplace", None)
    if args and args[-1] is True:
        args = args[:-1]
    function = getattr(F, op.name, None) or getattr(torch, op.name)
    constants = tuple(a.detach() if isinstance(a, Tensor) else a for a in args)

    def f(t: Tensor) -> Tensor:
        return function(t, *constants, **kwargs)

    out = rec.activation(x, f, _SLOPE_AT_ZERO[op.name])
    return set_tag(out, Tag(nonnegative=op.name == "relu6"))


@register_operation("clamp", "clip", "clamp_min", "clamp_max")
def clamp(rec: Recorder, op: Op, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """An activation where it leaves 0 as it is; else, or as the floor of a norm, the plain gradient."""
    bounds = dict(zip(("max",) if op.name == "clamp_max" else ("min", "max"), args, strict=False)) | kwargs
    low, high = bounds.get("min"), bounds.get("max")
    tag = tag_of(x)
    assert tag is not None
    numbers = not any(isinstance(bound, Tensor) for bound in (low, high))
    nonnegative = tag.nonnegative or (numbers and low is not None and low >= 0)
    through_zero = numbers and (low is None or low <= 0) and (high is None or high >= 0)
    if tag.gate == "norm" or not through_zero:
        return set_tag(rec.plain(op, x, *args, **kwargs), Tag(nonnegative=nonnegative, gate=tag.gate))
    result = rec.activation(x, lambda t: t.clamp(low, high), float(low != 0 != high))
    return set_tag(result, Tag(nonnegative=nonnegative))


@register_operation("glu")
def gated_linear_unit(rec: Recorder, op: Op, x: Tensor, dim: int = -1) -> Tensor:
    signal, gates = rec.call(torch.chunk, x, 2, dim)
    return rec.call(torch.mul, signal, rec.call(torch.sigmoid, gates))


@register_operation("sigmoid", "hardsigmoid", "softplus", "log_sigmoid")
def gate(rec: Recorder, op: Op, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Gates do not vanish at 0, so f(x)/x is of no use: plain gradient, as for the softmax."""
    result = rec.plain(op, x, *(a for a in args if a is not True), **kwargs)
    return set_tag(result, Tag(nonnegative=op.name != "log_sigmoid", gate="sigmoid"))
