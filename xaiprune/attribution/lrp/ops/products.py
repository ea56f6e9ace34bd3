"""Handlers for products and quotients: elementwise, of matrices, and written as sums over indices (einsum).

A product with a constant is a linear map: a layer with a rule where the constant is one matrix for all
images, else its plain gradient. A product of two activations splits its relevance (`engine.nodes.share`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xaiprune.attribution.lrp.engine.linear_call import WeightCache
from xaiprune.attribution.lrp.engine.nodes import Role, ShareNode
from xaiprune.attribution.lrp.engine.recorder import Op, Recorder
from xaiprune.attribution.lrp.engine.tags import Gate, Tag, plainly, set_tag, tag_of
from xaiprune.attribution.lrp.ops.linear import linear_call
from xaiprune.registry import register_operation

Roles = tuple[Role | None, Role | None]


def _shared(rec: Recorder, factors: Sequence[Tensor], roles: Sequence[Role | None]) -> list[Tensor]:
    """Factors of a product, each with the part of the relevance that its role says; without one, all."""
    with torch.enable_grad():
        return [
            x if role is None else ShareNode.apply(plainly(x) if role == "norm" else x, role, rec.pass_)
            for x, role in zip(factors, roles, strict=True)
        ]


def _gate(value: Any) -> Gate | None:
    tag = tag_of(value)
    return tag.gate if tag else None


def _nonnegative(*values: Any) -> bool:
    """Whether all are known to be at least 0: activations by their tags, constants if they are numbers."""
    tags = [(tag_of(value), value) for value in values]
    return all(
        tag.nonnegative if tag else not isinstance(value, Tensor) and value >= 0 for tag, value in tags
    )


# -- elementwise ---------------------------------------------------------------------------------------


@register_operation("mul", "multiply")
def multiply(rec: Recorder, op: Op, x: Any, y: Any) -> Tensor:
    first, second, nonnegative = _gate(x), _gate(y), _nonnegative(x, y)
    if x is y:
        return rec.call(torch.square, x)
    if tag_of(x) is None or tag_of(y) is None:
        gate, constant = (first, y) if tag_of(x) else (second, x)
        gate = gate if gate == "norm" or not isinstance(constant, Tensor) else None
        return set_tag(rec.plain(op, x, y), Tag(nonnegative=nonnegative, gate=gate))
    a, b = _shared(rec, (x, y), _roles(first, second))
    with torch.enable_grad():
        product = a * b
    return set_tag(product, Tag(nonnegative=nonnegative, gate="norm" if first == second == "norm" else None))


def _roles(first: Gate | None, second: Gate | None) -> Roles:
    if first == second == "norm":
        return None, None
    if "norm" in (first, second):
        return ("norm", None) if first == "norm" else (None, "norm")
    if (first is None) == (second is None):
        return "factor", "factor"
    return ("gate", "signal") if first else ("signal", "gate")


@register_operation("div", "divide", "true_divide")
def divide(rec: Recorder, op: Op, x: Any, y: Any, *, rounding_mode: str | None = None) -> Tensor:
    """A divisor is a norm, whatever it is made of: it sets the scale of what is divided."""
    if rounding_mode is not None:
        raise op.refused("a division that rounds has no relevance rule")
    above, below, nonnegative = _gate(x), _gate(y), _nonnegative(x, y)
    if tag_of(y) is None:
        return set_tag(rec.plain(op, x, y), Tag(nonnegative=nonnegative, gate=above))
    if tag_of(x) is None or above == below == "norm":
        return set_tag(rec.plain(op, x, y), Tag(nonnegative=nonnegative, gate="norm"))
    (divisor,) = _shared(rec, (y,), ("norm",))
    with torch.enable_grad():
        return set_tag(x / divisor, Tag(nonnegative=nonnegative, gate=above))


@register_operation("rdiv")
def divide_constant(rec: Recorder, op: Op, y: Tensor, x: Any) -> Tensor:
    """``x / y`` of a constant x, as Python calls it."""
    return rec.call(torch.mul, rec.call(torch.reciprocal, y), x)


@register_operation("addcmul")
def add_product(rec: Recorder, op: Op, x: Tensor, a: Tensor, b: Tensor, *, value: Any = 1) -> Tensor:
    return rec.call(torch.add, x, rec.call(torch.mul, a, b), alpha=value)


@register_operation("addcdiv")
def add_quotient(rec: Recorder, op: Op, x: Tensor, a: Tensor, b: Tensor, *, value: Any = 1) -> Tensor:
    return rec.call(torch.add, x, rec.call(torch.div, a, b), alpha=value)


@register_operation("lerp")
def interpolate_between(rec: Recorder, op: Op, x: Tensor, y: Tensor, weight: Any) -> Tensor:
    return rec.call(torch.add, x, rec.call(torch.mul, rec.call(torch.sub, y, x), weight))


# -- matrices ------------------------------------------------------------------------------------------


@register_operation("matmul", "bmm", "mm", "mv")
def matmul(rec: Recorder, op: Op, a: Tensor, b: Tensor) -> Tensor:
    if op.func.__name__ == "__rmatmul__":
        a, b = b, a
    if tag_of(b) is None and b.dim() <= 2:
        return _times_matrix(rec, op, a, b)
    if tag_of(a) is None and a.dim() <= 2 <= b.dim():
        product = _times_matrix(rec, op, rec.call(torch.transpose, b, -2, -1), a if a.dim() == 1 else a.t())
        return product if a.dim() == 1 else rec.call(torch.transpose, product, -2, -1)
    if tag_of(a) is None or tag_of(b) is None:
        return set_tag(rec.plain(op, a, b), Tag())
    with torch.enable_grad():
        return torch.matmul(*_shared(rec, (a, b), _matrix_roles(a, b)))


def _times_matrix(rec: Recorder, op: Op, x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ matrix + bias``: a linear layer written out. A vector is a matrix of one column."""
    if matrix.dim() == 1:
        return rec.call(torch.squeeze, _times_matrix(rec, op, x, matrix[:, None]), -1)
    return _layer(rec, op, x, matrix, "transposed", torch.t, bias)


def _layer(
    rec: Recorder,
    op: Op,
    x: Tensor,
    constant: Tensor,
    key: str,
    make: Callable[[Tensor], Tensor],
    bias: Tensor | None = None,
) -> Tensor:
    """A linear layer, its weight made of a constant; a parameter's is kept under the key."""
    lasting = rec.weights if isinstance(constant, nn.Parameter) else WeightCache()
    weight = lasting.get(key, (constant,), lambda: make(constant.detach()))
    return linear_call(rec, op, x, weight, bias, None, lambda: F.linear(x, weight, bias), weights=lasting)


def _matrix_roles(a: Tensor, b: Tensor) -> Roles:
    """Attention weights and what they weigh; else two activations alike."""
    first, second = _gate(a) == "softmax", _gate(b) == "softmax"
    if first == second:
        return "similarity", "similarity"
    return ("weights", "value") if first else ("value", "weights")


@register_operation("addmm", "baddbmm")
def add_matrix_product(
    rec: Recorder, op: Op, x: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """``beta x + alpha (a @ b)``: a linear layer with bias (GPT-2's Conv1D), or attention's logits."""
    if tag_of(x) is tag_of(b) is None and b.dim() == 2 and x.dim() == 1 and beta == alpha == 1:
        return _times_matrix(rec, op, a, b, x)
    return rec.call(torch.add, rec.call(torch.mul, x, beta), rec.call(torch.matmul, a, b), alpha=alpha)


@register_operation("einsum")
def einsum(rec: Recorder, op: Op, equation: str, *operands: Any) -> Tensor:
    """A linear layer where a constant shares no index with the output that the activation has, too."""
    factors = list(operands[0] if len(operands) == 1 and not isinstance(operands[0], Tensor) else operands)
    active = [place for place, factor in enumerate(factors) if tag_of(factor) is not None]
    if len(active) > 2:
        raise op.refused("einsum of more than two activations has no relevance rule")
    if len(active) == 2:
        first, second = (factors[place] for place in active)
        shared = iter(_shared(rec, (first, second), _matrix_roles(first, second)))
        with torch.enable_grad():
            factors = [next(shared) if n in active else factor.detach() for n, factor in enumerate(factors)]
            return set_tag(torch.einsum(equation, *factors), Tag())
    if len(factors) == 2 and (layer := _as_layer(equation.replace(" ", ""), active[0])):
        return _through_layer(rec, op, factors[active[0]], factors[1 - active[0]], layer)
    return set_tag(rec.plain(op, equation, *factors), Tag())


@dataclass(frozen=True)
class _Layer:
    """A sum over indices as a linear layer: each part an equation of one operand.

    Attributes:
        before: The activation, its summed indices moved to the end.
        weight: The constant as (new indices, summed indices).
        after: The layer's output, its new indices moved to where the sum has them.
        new: How many indices the output has from the constant.
    """

    before: str
    weight: str
    after: str
    new: int


def _as_layer(equation: str, place: int) -> _Layer | None:
    """The layer that an activation (operand 0 or 1) and a constant are; None where the constant is no matrix
    for all of the activation's other indices alike.
    """
    inputs, _, output = equation.partition("->")
    x, constant = inputs.split(",")[:: -1 if place else 1]
    summed = "".join(index for index in constant if index not in output)
    new = "".join(index for index in constant if index in output)
    kept = "".join(index for index in x if index not in summed)
    names = x.replace("...", "") + new
    if not summed or not new or len(set(names)) < len(names) or set(kept + new) != set(output):
        return None
    if not set(summed) <= set(x) or len(set(constant)) < len(constant) or "." in constant:
        return None
    return _Layer(f"{x}->{kept}{summed}", f"{constant}->{new}{summed}", f"{kept}{new}->{output}", len(new))


def _through_layer(rec: Recorder, op: Op, x: Tensor, constant: Tensor, layer: _Layer) -> Tensor:
    summed = constant.dim() - layer.new

    def make(values: Tensor) -> Tensor:
        return torch.einsum(layer.weight, values).flatten(layer.new).flatten(0, layer.new - 1)

    sizes = torch.einsum(layer.weight, constant.detach()).shape[: layer.new]
    x = rec.call(torch.flatten, rec.call(torch.einsum, layer.before, x), -summed)
    outputs = _layer(rec, op, x, constant, layer.weight, make)
    return rec.call(torch.einsum, layer.after, rec.call(torch.unflatten, outputs, -1, sizes))
