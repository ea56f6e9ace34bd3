"""Handlers for layers with weights: linear layers, convolutions, and BatchNorm folded into them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xaiprune.attribution.lrp.engine.linear_call import ConvGeometry, LinearCall, WeightCache
from xaiprune.attribution.lrp.engine.nodes import LinearNode
from xaiprune.attribution.lrp.engine.recorder import Op, Recorder
from xaiprune.attribution.lrp.engine.tags import Tag, constants, set_tag, tag_of
from xaiprune.registry import register_operation
from xaiprune.units.batch_norm import affine, scale_and_shift


@register_operation("linear")
def linear(rec: Recorder, op: Op, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return linear_call(rec, op, x, weight, bias, None, lambda: F.linear(x, weight, bias))


@register_operation("conv1d", "conv2d", "conv3d")
def conv(
    rec: Recorder,
    op: Op,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    space = weight.dim() - 2
    if x.dim() != weight.dim():
        raise op.refused("unbatched convolution has no relevance rule")
    dilations = _per_dimension(dilation, space)
    if isinstance(padding, str):
        kernel = weight.shape[2:]
        whole = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilations, kernel, strict=True)]
        if any(total % 2 for total in whole):
            raise op.refused("padding='same' with an even kernel has no relevance rule")
        padding = tuple(total // 2 for total in whole)
    geometry = ConvGeometry(_per_dimension(stride, space), _per_dimension(padding, space), dilations, groups)
    options = (stride, padding, dilation, groups)
    return linear_call(rec, op, x, weight, bias, geometry, lambda: op.func(x, weight, bias, *options))


@register_operation("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(
    rec: Recorder,
    op: Op,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """A linear map like a convolution, whose weight has its inputs first."""
    if x.dim() != weight.dim():
        raise op.refused("unbatched convolution has no relevance rule")
    steps, pads, extra, dilations = (
        _per_dimension(value, weight.dim() - 2) for value in (stride, padding, output_padding, dilation)
    )
    geometry = ConvGeometry(steps, pads, dilations, groups, True, extra)
    options = (stride, padding, output_padding, groups, dilation)
    return linear_call(rec, op, x, weight, bias, geometry, lambda: op.func(x, weight, bias, *options))


def _per_dimension(value: Any, space: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    return values * space if len(values) == 1 else values


def linear_call(
    rec: Recorder,
    op: Op,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: ConvGeometry | None,
    run: Callable[[], Tensor],
    name: str | None = None,
    weights: WeightCache | None = None,
) -> Tensor:
    tag = tag_of(x)
    if tag is None or tag_of(weight) is not None:
        raise op.refused(f"{op.name} with weights that depend on the image has no relevance rule")
    # Weights computed on the way (weight standardisation) are new tensors every time: not worth keeping.
    lasting = weights is not None or isinstance(weight, torch.nn.Parameter)
    cache = weights or (rec.weights if lasting else WeightCache())
    z = run().detach()
    detached: Tensor = cache.get("detached", (weight,), weight.detach)
    call = LinearCall(
        name=op.module if name is None else name,
        x=x,
        z=z,
        weight=detached,
        bias=None if bias is None else bias.detach(),
        geometry=geometry,
        nonnegative=tag.nonnegative,
        raw_input=tag.raw_input,
        mixes_attention=tag.gate == "softmax",
        weights=cache,
        keep_sums=rec.keep_sums,
    )
    return _insert(rec, call)


def _insert(rec: Recorder, call: LinearCall) -> Tensor:
    with torch.enable_grad():
        out: Tensor = LinearNode.apply(call.x, call.z, call, rec.pass_)
    rec.calls[id(call)] = call
    # Mixed attention weights (talking heads) are still attention weights.
    return set_tag(out, Tag(call=call, gate="softmax" if call.mixes_attention else None))


@register_operation("batch_norm")
def batch_norm(
    rec: Recorder,
    op: Op,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Behind a linear call: one call with folded weights. Elsewhere: an affine map, plain gradient.

    Where relevance is read between the two, they are not one.
    """
    if training or running_mean is None or running_var is None:
        raise op.refused("BatchNorm uses batch statistics; call model.eval() before attribution")
    tag = tag_of(x)
    assert tag is not None
    mean, var, scale, shift = constants(running_mean, running_var, weight, bias)
    call = None if tag.tapped else tag.call
    assert mean is not None
    assert var is not None
    factor, offset = scale_and_shift(mean, var, scale, shift, eps)
    if call is None or (call.geometry is None and x.dim() != 2):
        with torch.enable_grad():
            return affine(x, factor, offset)
    folded_bias = offset if call.bias is None else offset + call.bias * factor
    folded = call.weights.get(
        "folded",
        (call.weight, running_mean, running_var, weight),
        lambda: call.geometry.scaled(call.weight, factor) if call.geometry else call.weight * factor[:, None],
    )
    z = F.batch_norm(call.z, mean, var, scale, shift, False, momentum, eps)
    rec.calls.pop(id(call), None)
    return _insert(rec, replace(call, z=z, weight=folded, bias=folded_bias))
