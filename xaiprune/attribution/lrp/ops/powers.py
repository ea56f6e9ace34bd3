"""Handlers for powers, and for what norms are made of: lengths, deviations, reciprocals.

A norm is a constant under ``norm: detach``, whether it is a function of PyTorch's or written out, as in
``x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)``: lengths, deviations, reciprocals and divisors are
tagged as norms, and a product gives its relevance to the other factor (`ops.products`).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from xaiprune.attribution.lrp.engine.recorder import Op, Recorder
from xaiprune.attribution.lrp.engine.tags import Tag, has_powers, plainly, set_plainly, set_tag, tag_of
from xaiprune.registry import register_operation

_EXPONENTS = {"square": 2.0, "sqrt": 0.5, "rsqrt": -0.5, "reciprocal": -1.0}


@register_operation("pow", *_EXPONENTS)
def power(rec: Recorder, op: Op, x: Any, exponent: Any = None) -> Tensor:
    """x^p, p > 0, is an activation; x^p, p <= 0, and roots of sums of powers are norms."""
    p = _EXPONENTS.get(op.name, exponent)
    tag = tag_of(x)
    if tag is None or tag_of(p) is not None or (isinstance(p, Tensor) and p.numel() > 1):
        raise op.refused(
            f"'{op.name}' with several exponents, or one that depends on the image, has no relevance rule"
        )
    p = float(p)
    nonnegative = tag.nonnegative or p % 2 == 0 or p % 1 != 0
    if tag.gate == "norm" or p <= 0:
        args = () if exponent is None else (exponent,)
        return set_tag(rec.plain(op, x, *args), Tag(nonnegative=nonnegative, gate="norm"))
    root = p < 1 and has_powers(x)
    result = rec.activation(x, lambda t: t.pow(p), 1.0 if p == 1 else 0.0)
    set_plainly(result, lambda: plainly(x).pow(p))
    return set_tag(result, Tag(nonnegative=nonnegative, gate="norm" if root else None))


@register_operation("norm", "linalg_norm", "linalg_vector_norm", "var", "std", "var_mean", "std_mean")
def length(rec: Recorder, op: Op, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """A length or a deviation; where it is no factor or divisor, its plain gradient."""
    result = rec.plain(op, x, *args, **kwargs)
    if isinstance(result, Tensor):
        return set_tag(result, Tag(nonnegative=True, gate="norm"))
    deviation, _ = result
    set_tag(deviation, Tag(nonnegative=True, gate="norm"))
    return result
