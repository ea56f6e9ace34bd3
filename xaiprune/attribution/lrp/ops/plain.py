"""Operations whose relevance propagation is their plain gradient: rearranging, adding, averaging, pooling.

Max pooling's gradient is winner-takes-all; an average's and a sum's shares are its inputs' contributions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from xaiprune.attribution.lrp.engine.recorder import Constant, Op, Recorder
from xaiprune.attribution.lrp.engine.tags import Tag, set_tag, tag_of
from xaiprune.registry import register_operation

# fmt: off
_REARRANGE = [
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "swapaxes", "swapdims",
    "movedim", "moveaxis", "t", "squeeze", "unsqueeze", "contiguous", "clone", "getitem", "select",
    "narrow", "index_select", "gather", "take_along_dim", "expand", "expand_as", "repeat",
    "repeat_interleave", "tile", "cat", "concat", "concatenate", "stack", "hstack", "vstack", "split",
    "chunk", "unbind", "tensor_split", "split_with_sizes", "roll", "flip", "rot90", "unfold",
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "to", "type", "type_as", "float", "double",
    "half", "bfloat16", "cpu", "cuda", "view_as", "reshape_as", "broadcast_to", "as_strided",
    "alias", "fold", "tril", "triu", "diagonal",
]
_AVERAGE = [
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "max_pool2d_with_indices", "mean", "sum", "amax", "amin",
    "maximum", "minimum",
]
_QUERIES = [
    "size", "dim", "ndimension", "numel", "stride", "is_contiguous", "is_floating_point", "is_complex",
    "get_device", "element_size", "storage_offset", "__len__", "__repr__", "__format__",
    "__bool__", "is_same_size", "data_ptr", "nelement", "new_zeros", "new_ones", "new_empty",
    "new_full", "new_tensor", "zeros_like", "ones_like", "empty_like", "full_like", "rand_like",
    "bernoulli", "sym_size", "is_nonzero", "assert", "eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf",
    "isfinite", "argmax", "argmin",
]
_DROPOUT = [
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout",
    "feature_alpha_dropout",
]
# fmt: on


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found.extend(_tensors(value))
    return found


def carry(result: Any, sources: Iterable[Any]) -> Any:
    """Tag results with what holds for all sources that depend on the image, and constants among them."""
    tensors = _tensors(sources)
    tags = [tag for tag in map(tag_of, tensors) if tag is not None]
    nonnegative = all(tag.nonnegative for tag in tags) and len(tags) == len(tensors)
    gate = tags[0].gate if len(tags) == 1 else None
    for item in [result] if isinstance(result, Tensor) else result:
        if isinstance(item, Tensor):
            set_tag(item, Tag(nonnegative=nonnegative, gate=gate))
        elif isinstance(item, tuple | list):
            carry(item, sources)
    return result


@register_operation(*_REARRANGE, *_AVERAGE)
def rearrange_or_average(rec: Recorder, op: Op, *args: Any, **kwargs: Any) -> Any:
    result = rec.plain(op, *args, **kwargs)
    if result is args[0]:  # contiguous() and to() may return their input
        return result
    return carry(result, args[:1] if op.name.endswith("_as") else args)  # the other gives its type or shape


@register_operation("interpolate", "masked_fill", "where")
def resample(rec: Recorder, op: Op, *args: Any, **kwargs: Any) -> Any:
    """Linear as well, but bicubic weights and filled-in values may be negative."""
    return set_tag(rec.plain(op, *args, **kwargs), Tag())


@register_operation("max", "min")
def extremum(rec: Recorder, op: Op, *args: Any, **kwargs: Any) -> Any:
    """Winner-takes-all; positions are constants."""
    result = rec.plain(op, *args, **kwargs)
    carry(result if isinstance(result, Tensor) else result[0], args)
    return result


@register_operation("pad")
def pad(rec: Recorder, op: Op, *args: Any, **kwargs: Any) -> Any:
    value = kwargs.get("value", args[3] if len(args) > 3 else None)
    result = carry(rec.plain(op, *args, **kwargs), args[:1])
    if value is not None and value < 0:
        set_tag(result, Tag())
    return result


@register_operation("add", "sub", "rsub")
def add(rec: Recorder, op: Op, *args: Any, **kwargs: Any) -> Any:
    """Sums: every summand keeps g, so that R splits by contribution."""
    result = rec.plain(op, *args, **kwargs)
    constants = all(isinstance(a, Tensor) or a >= 0 for a in args)
    tag = Tag()
    if op.name == "add" and constants and not kwargs:
        carry(result, args)
        tag = Tag(nonnegative=found.nonnegative if (found := tag_of(result)) else False)
    # A mixture of attention weights are attention weights, and a norm stays one beside its stabilizer.
    gates = {tag.gate for tag in map(tag_of, args) if tag is not None}
    if gates in ({"softmax"}, {"norm"}):
        (tag.gate,) = gates
    return set_tag(result, tag)


@register_operation("setitem")
def set_item(rec: Recorder, op: Op, x: Tensor, index: Any, value: Any) -> Tensor:
    """Parts of a tensor are replaced; what was there takes nothing."""
    with torch.enable_grad():
        result = x.detach().clone() if tag_of(x) is None else x.clone()
        result[index] = value.detach() if isinstance(value, Tensor) and tag_of(value) is None else value
    return set_tag(result, Tag())


@register_operation("neg")
def negate(rec: Recorder, op: Op, x: Tensor) -> Tensor:
    return set_tag(rec.plain(op, x), Tag())


@register_operation("abs", "absolute")
def absolute(rec: Recorder, op: Op, x: Tensor) -> Tensor:
    """f(x)/x and f'(x) are the same sign: relevance passes."""
    tag = tag_of(x)
    return set_tag(rec.plain(op, x), Tag(nonnegative=True, gate=tag.gate if tag else None))


@register_operation(*_DROPOUT)
def dropout(rec: Recorder, op: Op, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    training = kwargs.get("training", args[1] if len(args) > 1 else True)
    if training:
        raise op.refused("dropout is active; call model.eval() before attribution")
    return x


@register_operation("detach")
def detach(rec: Recorder, op: Op, *args: Any, **kwargs: Any) -> Tensor:
    raise op.refused(f"'{op.name}' cuts an activation off from what follows; relevance cannot pass")


@register_operation(*_QUERIES)
def query(rec: Recorder, op: Op, *args: Any, **kwargs: Any) -> Any:
    """Queries about a tensor, and constants of its shape: no relevance is involved."""
    return Constant(op.func(*args, **kwargs))
