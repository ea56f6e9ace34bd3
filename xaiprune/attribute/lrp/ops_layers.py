"""Handlers for layers with weights, activations, norms and attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xaiprune.attribute.lrp.attention import AttentionNode, SoftmaxNode
from xaiprune.attribute.lrp.linear import ConvGeometry, LinearCall, LinearNode, WeightCache
from xaiprune.attribute.lrp.nodes import ActivationNode, NormNode, ShareNode
from xaiprune.attribute.lrp.recorder import Op, Recorder, handles
from xaiprune.attribute.lrp.tags import Tag, set_tag, tag_of
from xaiprune.errors import UnsupportedOperation, XaipruneError

# -- linear layers and convolutions ----------------------------------------------------------------


@handles("linear")
def linear(rec: Recorder, op: Op, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _linear_call(rec, op, x, weight, bias, None, lambda: F.linear(x, weight, bias))


@handles("conv1d", "conv2d", "conv3d")
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
        raise UnsupportedOperation(f"module '{op.module}': unbatched convolution has no relevance rule")
    dilations = _per_dimension(dilation, space)
    if isinstance(padding, str):
        kernel = weight.shape[2:]
        whole = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilations, kernel, strict=True)]
        if any(total % 2 for total in whole):
            raise UnsupportedOperation(
                f"module '{op.module}': padding='same' with an even kernel has no relevance rule"
            )
        padding = tuple(total // 2 for total in whole)
    geometry = ConvGeometry(_per_dimension(stride, space), _per_dimension(padding, space), dilations, groups)
    return _linear_call(
        rec,
        op,
        x,
        weight,
        bias,
        geometry,
        lambda: op.func(x, weight, bias, stride, padding, dilation, groups),
    )


def _per_dimension(value: Any, space: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    return values * space if len(values) == 1 else values


def _linear_call(
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
        raise UnsupportedOperation(
            f"module '{op.module}': {op.name} with weights that depend on the image has no relevance rule"
        )
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


# -- norms -----------------------------------------------------------------------------------------


@handles("batch_norm")
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
    """Behind a linear call: one call with folded weights. Elsewhere: an affine map, plain gradient."""
    if training or running_mean is None or running_var is None:
        raise UnsupportedOperation(
            f"module '{op.module}': BatchNorm uses batch statistics; call model.eval() before attribution"
        )
    tag = tag_of(x)
    assert tag is not None
    mean, var, scale, shift = _detach((running_mean, running_var, weight, bias))
    call = tag.call
    if call is not None and tag.tapped:
        raise XaipruneError(
            f"module '{call.name}': relevance of a layer with BatchNorm is read behind the BatchNorm "
            f"('{op.module}'), with which it is one layer to LRP"
        )
    if call is None or (call.geometry is None and x.dim() != 2):
        with torch.enable_grad():
            return F.batch_norm(x, mean, var, scale, shift, False, momentum, eps)
    assert mean is not None
    assert var is not None
    factor = (var + eps).rsqrt() if scale is None else scale * (var + eps).rsqrt()
    folded_bias = -mean * factor if call.bias is None else (call.bias - mean) * factor
    if shift is not None:
        folded_bias = folded_bias + shift
    folded = call.weights.get(
        "folded",
        (call.weight, running_mean, running_var, weight),
        lambda: call.weight * factor.view(-1, *[1] * (call.weight.dim() - 1)),
    )
    z = F.batch_norm(call.z, mean, var, scale, shift, False, momentum, eps)
    rec.calls.pop(id(call), None)
    return _insert(rec, replace(call, z=z, weight=folded, bias=folded_bias, _sums={}))


@handles("layer_norm")
def layer_norm(
    rec: Recorder,
    op: Op,
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    weight, bias = _detach((weight, bias))
    y, _, rstd = torch.native_layer_norm(x.detach(), tuple(normalized_shape), weight, bias, eps)
    dims = tuple(range(-len(normalized_shape), 0))

    def detached(g: Tensor) -> Tensor:
        scaled = g * rstd if weight is None else g * weight * rstd
        return scaled - scaled.mean(dims, keepdim=True)

    return _norm(rec, x, y, lambda t: F.layer_norm(t, tuple(normalized_shape), weight, bias, eps), detached)


@handles("rms_norm")
def rms_norm(
    rec: Recorder,
    op: Op,
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    (weight,) = _detach((weight,))

    def f(t: Tensor) -> Tensor:
        return F.rms_norm(t, tuple(normalized_shape), weight, eps)

    dims = tuple(range(-len(normalized_shape), 0))
    floor = torch.finfo(x.dtype).eps if eps is None else eps
    rrms = (x.detach().square().mean(dims, keepdim=True) + floor).rsqrt()

    def detached(g: Tensor) -> Tensor:
        return g * rrms if weight is None else g * weight * rrms

    return _norm(rec, x, f(x.detach()), f, detached)


@handles("group_norm")
def group_norm(
    rec: Recorder,
    op: Op,
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    weight, bias = _detach((weight, bias))
    grouped = (x.shape[0], num_groups, -1)
    rstd = (x.detach().reshape(grouped).var(-1, unbiased=False, keepdim=True) + eps).rsqrt()
    per_channel = None if weight is None else weight.view(-1, *[1] * (x.dim() - 2))

    def f(t: Tensor) -> Tensor:
        return F.group_norm(t, num_groups, weight, bias, eps)

    def detached(g: Tensor) -> Tensor:
        scaled = (g if per_channel is None else g * per_channel).reshape(grouped) * rstd
        return (scaled - scaled.mean(-1, keepdim=True)).reshape(g.shape)

    return _norm(rec, x, f(x.detach()), f, detached)


@handles("normalize")
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


def _detach(values: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(None if value is None else value.detach() for value in values)


# -- activations -----------------------------------------------------------------------------------

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


@handles("relu")
def relu(rec: Recorder, op: Op, x: Tensor, inplace: bool = False) -> Tensor:
    """f(x)/x and f'(x) are the same 0/1 mask: relevance passes."""
    with torch.enable_grad():
        return set_tag(torch.relu(x), Tag(nonnegative=True))


@handles(*_SLOPE_AT_ZERO)
def activation(rec: Recorder, op: Op, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    kwargs.pop("inplace", None)
    if args and args[-1] is True:
        args = args[:-1]
    function = getattr(F, op.name, None) or getattr(torch, op.name)
    constants = tuple(a.detach() if isinstance(a, Tensor) else a for a in args)

    def f(t: Tensor) -> Tensor:
        return function(t, *constants, **kwargs)

    with torch.enable_grad():
        out: Tensor = ActivationNode.apply(x, f(x.detach()), f, _SLOPE_AT_ZERO[op.name], rec.pass_)
    return set_tag(out, Tag(nonnegative=op.name == "relu6"))


@handles("sigmoid", "hardsigmoid", "softplus", "logsigmoid")
def gate(rec: Recorder, op: Op, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Gates do not vanish at 0, so f(x)/x is no use: plain gradient, as for the softmax."""
    kwargs.pop("inplace", None)
    args = tuple(a for a in args if a is not True)
    function = getattr(F, op.name, None) or getattr(torch, op.name)
    with torch.enable_grad():
        return set_tag(function(x, *args, **kwargs), Tag(nonnegative=op.name != "logsigmoid", gate="sigmoid"))


# -- attention -------------------------------------------------------------------------------------


@handles("softmax")
def softmax(rec: Recorder, op: Op, x: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Tensor:
    if dim is None:
        raise UnsupportedOperation(f"module '{op.module}': softmax without a dimension has no relevance rule")
    s = torch.softmax(x.detach(), dim, dtype=kwargs.get("dtype"))
    with torch.enable_grad():
        out: Tensor = SoftmaxNode.apply(x, s, dim, rec.pass_)
    return set_tag(out, Tag(nonnegative=True, gate="softmax"))


@handles("matmul", "bmm", "mm")
def matmul(rec: Recorder, op: Op, a: Tensor, b: Tensor) -> Tensor:
    tag_a, tag_b = tag_of(a), tag_of(b)
    if op.func.__name__ == "__rmatmul__":
        a, b, tag_a, tag_b = b, a, tag_b, tag_a
    if tag_b is None and tag_a is not None and b.dim() == 2:
        weight = b.detach().t()
        return _linear_call(rec, op, a, weight, None, None, lambda: F.linear(a, weight))
    if tag_a is None or tag_b is None:
        raise UnsupportedOperation(
            f"module '{op.module}': a matrix product of an activation and a batched or left constant has no "
            f"relevance rule"
        )
    gated = (tag_a.gate == "softmax") != (tag_b.gate == "softmax")
    roles = (
        ("similarity", "similarity")
        if not gated
        else ("weights", "value")
        if tag_a.gate
        else ("value", "weights")
    )
    with torch.enable_grad():
        a, b = (ShareNode.apply(t, role, rec.pass_) for t, role in zip((a, b), roles, strict=True))
        return torch.matmul(a, b)


@handles("scaled_dot_product_attention")
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
    if dropout_p or enable_gqa or (attn_mask is not None and tag_of(attn_mask) is not None):
        raise UnsupportedOperation(
            f"module '{op.module}': attention with dropout, grouped queries or a mask that depends on the "
            f"image has no relevance rule"
        )
    options = {
        "attn_mask": None if attn_mask is None else attn_mask.detach(),
        "is_causal": is_causal,
        "scale": scale,
    }
    with torch.enable_grad():
        out: Tensor = AttentionNode.apply(query, key, value, options, rec.pass_)
    return out


@handles("multi_head_attention_forward")
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
        raise UnsupportedOperation(
            f"module '{op.module}': nn.MultiheadAttention with masks, extra key biases, separate projection "
            f"weights or need_weights=True has no relevance rule"
        )
    size = embed_dim_to_check
    name = f"{op.module}.in_proj"

    def project(x: Tensor, rows: slice) -> Tensor:
        weight = rec.weights.get(f"rows {rows}", (in_proj_weight,), lambda: in_proj_weight.detach()[rows])
        bias = None if in_proj_bias is None else in_proj_bias.detach()[rows]
        return _linear_call(
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
        out = AttentionNode.apply(heads(q), heads(k), heads(v), {}, rec.pass_)
        out = out.permute(0, 2, 1, 3).flatten(2)  # (N, tokens, size)
    name = f"{op.module}.out_proj"
    out = rec.tap(set_tag(out, Tag()), rec.taps_at(name, "input"))
    projected = _linear_call(
        rec, op, out, out_proj_weight, out_proj_bias, None,
        lambda: F.linear(out, out_proj_weight, out_proj_bias), name,
    )  # fmt: skip
    projected = rec.tap(projected, rec.taps_at(name, "output"))
    with torch.enable_grad():
        return set_tag(projected.transpose(0, 1), Tag()), None
