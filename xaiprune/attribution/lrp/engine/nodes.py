"""Autograd nodes; each asks the running pass how to propagate.

Nodes between linear layers return None for None, so that a branch that gets no relevance (queries and keys
under CP-LRP) costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.lrp.engine.blocks import blockwise
from xaiprune.attribution.lrp.engine.linear_call import LinearCall
from xaiprune.attribution.lrp.engine.passes import Pass
from xaiprune.errors import XaipruneError
from xaiprune.registry import RULES

Role = Literal["factor", "signal", "gate", "similarity", "weights", "value", "norm"]


class TapNode(torch.autograd.Function):
    """Identity that reports relevance to the pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: int, call: int, pass_: Pass) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.x, ctx.index, ctx.call, ctx.pass_ = x, index, call, pass_
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        if grads[0] is not None:
            ctx.pass_.read(ctx.index, ctx.call, ctx.x, grads[0])
        return grads[0], None, None, None


class LinearNode(torch.autograd.Function):
    """Puts a linear call into the autograd graph: value ``z``, backward by the rule of the running pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, z: Tensor, call: LinearCall, pass_: Pass) -> Tensor:
        # x and z also live in `call`; saved here, autograd would check them for in-place changes and count
        # them twice. Nothing changes them: the pass runs in-place operations out of place.
        ctx.call, ctx.pass_ = call, pass_
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, None]:
        call, g = ctx.call, grads[0]
        rule = ctx.pass_.rules[call.name]
        if not rule.input_only:
            found = rule.propagate(call, g)
            if ctx.pass_.account_layer is not None:
                ctx.pass_.account_layer(call, rule, g, found)
            return found, None, None, None
        if not call.raw_input:
            others = [name for name, other in RULES.items() if not other.input_only]
            raise XaipruneError(
                f"layer {call.name}: rule {rule.name} is for layers whose input is the image; "
                f"choose from {', '.join(others)}"
            )
        # Relevance, not gradient form: it does not vanish where a pixel is zero.
        relevance = rule.propagate(call, g)
        if ctx.pass_.account_layer is not None:
            ctx.pass_.account_layer(call, rule, g, relevance)
        ctx.pass_.add_input_relevance(relevance)
        return torch.zeros_like(call.x), None, None, None


def share(role: Role, composite: Composite) -> float:
    """Which part of the plain gradient one factor of a product receives.

    A product of n activations splits its relevance evenly (Achtibat et al. 2024, eq. 15), so two factors
    get half each; a factor that is held constant gets none, and the other gets all.
    """
    if role == "norm":
        return 0.0 if composite.norm == "detach" else 1.0
    if role in ("factor", "signal", "gate"):
        if composite.product == "gradient":
            return 1.0
        if composite.product == "gate" and role != "factor":
            return 1.0 if role == "signal" else 0.0
        return 0.5
    if composite.softmax == "gradient":
        return 1.0
    if composite.softmax == "cp" and role != "similarity":
        return 1.0 if role == "value" else 0.0
    return 0.5


class ShareNode(torch.autograd.Function):
    """Identity whose backward multiplies by the factor's share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, role: Role, pass_: Pass) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.role, ctx.pass_ = role, pass_
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None, None]:
        part = share(ctx.role, ctx.pass_.composite)
        if grads[0] is None or part == 0:
            return None, None, None
        return (grads[0] if part == 1 else grads[0] * part), None, None


class ActivationNode(torch.autograd.Function):
    """Elementwise y = f(x): g f(x)/x (its limit f'(0) at 0), or the plain gradient where asked."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, f: Callable[[Tensor], Tensor], limit: float, pass_: Pass
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.x, ctx.y, ctx.f, ctx.limit, ctx.pass_ = x, y, f, limit, pass_
        ctx.module = pass_.module
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None, None, None, None]:
        above = g = grads[0]
        if g is not None:
            if ctx.pass_.composite.activation == "gradient":
                g = plain_gradient(ctx.f, ctx.x, g)
            else:
                g = _identity(g, ctx.x, ctx.y, ctx.limit)
            if ctx.pass_.account is not None:
                ctx.pass_.account(ctx.module, "activation", above * ctx.y, g * ctx.x)
        return g, None, None, None, None


def _identity(g: Tensor, x: Tensor, y: Tensor, limit: float) -> Tensor:
    """g y / x, with y / x = limit where x = 0 (the only NaN that a division of finite numbers makes)."""

    def ratio(out: Tensor, g: Tensor, x: Tensor, y: Tensor) -> None:
        torch.div(y, x, out=out).nan_to_num_(nan=limit).mul_(g)

    return blockwise(ratio, g, x, y)


class NormNode(torch.autograd.Function):
    """y = (x - mean) / deviation * w + b: the deviation is a constant (Achtibat et al. 2024, sec. 3.3.3).

    The detached backward is given by the caller, since LayerNorm, GroupNorm and RMSNorm only differ there.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        f: Callable[[Tensor], Tensor],
        detached: Callable[[Tensor], Tensor],
        pass_: Pass,
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.x, ctx.f, ctx.detached, ctx.pass_ = x, f, detached, pass_
        ctx.module = pass_.module
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None, None, None, None]:
        above = g = grads[0]
        if g is not None:
            if ctx.pass_.composite.norm == "gradient":
                g = plain_gradient(ctx.f, ctx.x, g)
            else:
                g = ctx.detached(g)
            if ctx.pass_.account is not None:
                ctx.pass_.account(ctx.module, "norm", above * ctx.f(ctx.x.detach()), g * ctx.x)
        return g, None, None, None, None


def plain_gradient(f: Callable[[Tensor], Tensor], x: Tensor, g: Tensor) -> Tensor:
    """Vector-Jacobian product of f at x."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(f(x), x, g)[0]
