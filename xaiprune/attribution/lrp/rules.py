"""LRP rules for linear layers and convolutions: one small frozen dataclass each, with its math.

Relevance is carried in gradient-times-input form: for a layer with inputs x_i, weights W_ij, bias b_j and
outputs z_j, a rule receives g_j with R_j = g_j z_j and returns g_i with R_i = g_i x_i. Below, x+ = max(x, 0),
x- = min(x, 0), likewise for W and b, and

    P_j = sum_i (x_i W_ij)+ + b_j+        (all positive contributions)
    N_j = sum_i (x_i W_ij)- + b_j-        (all negative ones; z = P + N)

``bias="absorb"`` counts the bias among the contributions, so that it keeps its share of the relevance;
``bias="exclude"`` leaves it out of every denominator, so that the inputs share all of it.

Sources: Bach et al. 2015 (epsilon, alpha-beta), Montavon et al. 2017 (z+, z^B, w^2), Montavon et al. 2019
(gamma), Andeol et al. 2021 (gamma for signed inputs and outputs), Lapuschkin et al. 2019 (flat).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from xaiprune.attribution.lrp.engine.blocks import any_below_zero, blockwise, sign_of
from xaiprune.attribution.lrp.engine.linear_call import LinearCall
from xaiprune.errors import XaipruneError
from xaiprune.registry import register_rule

Bias = Literal["absorb", "exclude"]
Ranges = Mapping[str, tuple[float, float]]


def stabilized(z: Tensor, epsilon: float) -> Tensor:
    """``z + epsilon * sign(z)`` with sign(0) = +1, never exactly zero."""
    # At least the smallest normal number, which keeps 0 / 0 at 0 and changes nothing else.
    return z + sign_of(z).mul_(max(epsilon, torch.finfo(z.dtype).tiny))


@dataclass(frozen=True)
class Rule:
    """How the relevance of a layer's outputs is shared among its inputs.

    A rule of your own is a frozen dataclass with a ``name`` and `propagate`, registered under that name
    (`xaiprune.register_rule`); everything else has a default. Its parameters are the dataclass's fields.

    Attributes:
        name: As composites and search spaces name it.
        ranges: Parameter -> (lowest, highest) value allowed, both included. Others are not checked.
        searchable: Parameters that a search space may give numbers for; by default those of ``ranges``.
        main: The parameter that says most, shown behind the name; None: the name says enough.
        input_only: True for rules that are defined for layers whose input is the image.
        zennit_class: Zennit's class for the same rule, with parameters of the same names; subclasses do not
            inherit it.
    """

    name: ClassVar[str]
    ranges: ClassVar[Ranges] = {}
    searchable: ClassVar[tuple[str, ...]] = ()
    main: ClassVar[str | None] = None
    input_only: ClassVar[bool] = False
    zennit_class: ClassVar[str | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "ranges" in vars(cls) and "searchable" not in vars(cls):
            cls.searchable = tuple(cls.ranges)

    def __post_init__(self) -> None:
        for key, (low, high) in self.ranges.items():
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                span = f"at least {low:g}" if high == math.inf else f"in [{low:g}, {high:g}]"
                raise XaipruneError(f"rule {self.name}: {key} must be {span}, got {value!r}")
        bias = getattr(self, "bias", "absorb")
        if bias not in ("absorb", "exclude"):
            raise XaipruneError(f"rule {self.name}: bias must be absorb or exclude, got {bias!r}")

    @classmethod
    def from_numbers(cls, **numbers: Any) -> Self:
        """The rule with these parameters; those that follow from others need not be given.

        Raises:
            XaipruneError: A number is out of its range.
        """
        return cls(**numbers)

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        """Gradient-form relevance of the inputs.

        Args:
            call: The layer's inputs, outputs and weights, and how to run it forwards and transposed. Nothing
                of it may be changed in place, nor g.
            g: Gradient-form relevance of the outputs, shaped like ``call.z``.

        Returns:
            Gradient-form relevance of the inputs, shaped like ``call.x``; for ``input_only`` rules the
            relevance itself, since it does not vanish where x does.
        """
        raise NotImplementedError(f"rule {self.name} defines no propagation")

    def parameters(self) -> dict[str, Any]:
        """The rule's parameters by name, as written to YAML."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def zennit(self) -> tuple[str, dict[str, Any]]:
        """Name and arguments of zennit's class for the same rule.

        Raises:
            XaipruneError: Zennit has none.
        """
        name = vars(type(self)).get("zennit_class")
        if name is None:
            raise XaipruneError(f"rule {self} has no counterpart in zennit")
        arguments = self.parameters()
        excluded = arguments.pop("bias", "absorb") == "exclude"
        return name, arguments | ({"zero_params": "bias"} if excluded else {})

    @property
    def title(self) -> str:
        """What people call the rule: its name, but ``gradient`` for epsilon 0."""
        return self.name

    @property
    def short(self) -> str:
        """The title with the main parameter's number: ``gamma 0.25``."""
        if self.main is None or self.title != self.name:
            return self.title
        return f"{self.title} {getattr(self, self.main):.2g}"

    def __str__(self) -> str:
        defaults = {f.name: f.default for f in fields(self)}
        shown = [
            f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}"
            for k, v in self.parameters().items()
            if (k in self.ranges and k != "stabilizer") or v != defaults[k]
        ]
        return f"{self.name}({', '.join(shown)})" if shown else self.name


@register_rule("epsilon")
@dataclass(frozen=True)
class Epsilon(Rule):
    """R_i = sum_j x_i W_ij / (z_j + eps sign z_j) R_j  (Bach et al. 2015, eq. 58).

    ``epsilon=0`` is the plain gradient, so that R is activation times gradient (Taylor) at every layer.
    """

    name = "epsilon"
    zennit_class = "Epsilon"
    ranges: ClassVar[Ranges] = {"epsilon": (0.0, math.inf)}
    main = "epsilon"
    epsilon: float = 1e-6
    bias: Bias = "absorb"

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        if self.epsilon == 0 and (self.bias == "absorb" or call.bias is None):
            s = g
        elif self.bias == "exclude" and call.bias is not None:
            s = g * call.z / stabilized(call.z_without_bias(), self.epsilon)
        else:
            # g z / (z + eps sign z) = g - g eps / (|z| + eps)

            def share(out: Tensor, g: Tensor, z: Tensor) -> None:
                torch.abs(z, out=out).add_(self.epsilon)
                torch.addcdiv(g, g, out, value=-self.epsilon, out=out)

            s = blockwise(share, g, call.z)
        return call.transpose(s, call.weight)

    @property
    def title(self) -> str:
        return "gradient" if self.epsilon == 0 else self.name


@register_rule("gamma")
@dataclass(frozen=True)
class Gamma(Rule):
    """Favours contributions of the output's own sign (Montavon et al. 2019; signed form Andeol et al. 2021).

    Where z_j > 0 a contribution c_ij = x_i W_ij counts as c_ij + gamma c_ij+, against z_j + gamma P_j;
    where z_j < 0 as c_ij + gamma c_ij-, against z_j + gamma N_j. ``gamma=0`` is epsilon, ``gamma`` to
    infinity tends to z+ where z_j > 0. With ``bias="exclude"``, z_j means z_j - b_j here, also for the sign.
    """

    name = "gamma"
    zennit_class = "Gamma"
    ranges: ClassVar[Ranges] = {"gamma": (0.0, math.inf), "stabilizer": (0.0, 1.0)}
    main = "gamma"
    gamma: float = 0.25
    stabilizer: float = 1e-6
    bias: Bias = "absorb"

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        """Two transposed products at most, whatever the signs.

        With A_j = sum_i |x_i W_ij| [+ |b_j|] = P_j - N_j, both P_j where z_j > 0 and -N_j where z_j < 0 are
        (A_j + |z_j|) / 2, so that s_j = R_j sign(z_j) / (|z_j| + gamma (A_j + |z_j|) / 2 + stabilizer) covers
        both signs. And since W+ and W- are (W +- |W|) / 2, the contributions sum to U + gamma/2 (U +- Y)
        with U = W^T s, Y = |W|^T (s sign z), and the sign of x_i.
        """
        exclude = self.bias == "exclude" and call.bias is not None
        z = call.z_without_bias() if exclude else call.z
        half = self.gamma / 2
        least = max(self.stabilizer, torch.finfo(z.dtype).tiny)
        if call.nonnegative:
            # A = 2 P - z; P is what zplus and alphabeta need as well
            sums = call.positive_part(with_bias=not exclude)

            def denominator(out: Tensor, z: Tensor, sums: Tensor) -> Tensor:
                torch.abs(z, out=out).mul_(1 + half).add_(z, alpha=-half)
                return out.add_(sums, alpha=self.gamma).add_(least)

        else:
            sums = call.magnitude(with_bias=not exclude)

            def denominator(out: Tensor, z: Tensor, sums: Tensor) -> Tensor:
                return torch.abs(z, out=out).mul_(1 + half).add_(sums, alpha=half).add_(least)

        def share(out: Tensor, g: Tensor, z: Tensor, sums: Tensor) -> None:
            torch.div(z.abs().mul_(g), denominator(out, z, sums), out=out)

        def share_excluding(out: Tensor, g: Tensor, z: Tensor, sums: Tensor, output: Tensor) -> None:
            torch.div(sign_of(z).mul_(output).mul_(g), denominator(out, z, sums), out=out)

        s = blockwise(share_excluding, g, z, sums, call.z) if exclude else blockwise(share, g, z, sums)
        negative_reached = any_below_zero(s, z)
        if call.nonnegative and not negative_reached:
            return call.transpose(s, call.boosted(self.gamma))
        signed = blockwise(lambda out, s, z: sign_of(z, out).mul_(s), s, z) if negative_reached else s
        plain = call.transpose(s, call.weight)
        absolute = call.transpose(signed, call.absolute_weight())
        if call.nonnegative:
            return plain.mul_(1 + half).add_(absolute, alpha=half)

        def combine(out: Tensor, plain: Tensor, absolute: Tensor, x: Tensor) -> None:
            sign_of(x, out).mul_(absolute).mul_(half).add_(plain, alpha=1 + half)

        return blockwise(combine, plain, absolute, call.x)

    def zennit(self) -> tuple[str, dict[str, Any]]:
        if self.bias == "exclude":
            raise XaipruneError(
                f"rule {self}: zennit looks at the sign of the output with its bias; no counterpart there"
            )
        return super().zennit()


def _shares(call: LinearCall, g: Tensor, total: Tensor, stabilizer: float) -> Tensor:
    """R_j / (total_j + stabilizer), for totals of one sign, which the stabilizer has as well."""
    least = math.copysign(max(abs(stabilizer), torch.finfo(g.dtype).tiny), stabilizer)

    def share(out: Tensor, g: Tensor, z: Tensor, total: Tensor) -> None:
        torch.div(g * z, torch.add(total, least, out=out), out=out)

    return blockwise(share, g, call.z, total)


@register_rule("zplus")
@dataclass(frozen=True)
class ZPlus(Rule):
    """R_i = sum_j (x_i W_ij)+ / P_j R_j  (Montavon et al. 2017, eq. 13; alpha-beta with alpha=1, beta=0)."""

    name = "zplus"
    zennit_class = "ZPlus"
    ranges: ClassVar[Ranges] = {"stabilizer": (0.0, 1.0)}
    stabilizer: float = 1e-6
    bias: Bias = "absorb"

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        positive = call.positive_part(with_bias=self.bias == "absorb")
        return call.transpose_positive(_shares(call, g, positive, self.stabilizer))


@register_rule("alphabeta")
@dataclass(frozen=True)
class AlphaBeta(Rule):
    """R_i = sum_j (alpha c_ij+ / P_j - beta c_ij- / N_j) R_j with c_ij = x_i W_ij, alpha - beta = 1.

    Bach et al. 2015, eq. 60 (there with beta's sign inside).
    """

    name = "alphabeta"
    zennit_class = "AlphaBeta"
    ranges: ClassVar[Ranges] = {
        "alpha": (1.0, math.inf),
        "beta": (0.0, math.inf),
        "stabilizer": (0.0, 1.0),
    }
    searchable = ("alpha", "stabilizer")  # beta is alpha - 1
    main = "alpha"
    alpha: float = 2.0
    beta: float = 1.0
    stabilizer: float = 1e-6
    bias: Bias = "absorb"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isclose(self.alpha - self.beta, 1.0, abs_tol=1e-6):
            raise XaipruneError(
                f"rule alphabeta: alpha - beta must be 1 (else relevance is not conserved), "
                f"got alpha={self.alpha:g} beta={self.beta:g}"
            )

    @classmethod
    def from_numbers(cls, **numbers: Any) -> Self:
        """As for every rule; beta follows from alpha."""
        return cls(**numbers | ({"beta": numbers["alpha"] - 1} if "alpha" in numbers else {}))

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        with_bias = self.bias == "absorb"
        s = _shares(call, g, call.positive_part(with_bias), self.stabilizer)
        g_in = call.transpose_positive(s.mul_(self.alpha))
        if self.beta == 0:
            return g_in
        s = _shares(call, g, call.negative_part(with_bias), -self.stabilizer)
        return g_in.sub_(call.transpose_negative(s.mul_(self.beta)))


@register_rule("flat")
@dataclass(frozen=True)
class Flat(Rule):
    """R_i = sum_j R_j / n_j, where n_j inputs reach output j (Lapuschkin et al. 2019)."""

    name = "flat"
    zennit_class = "Flat"
    input_only = True

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        ones = torch.ones_like(call.weight)
        # An output that sees padding alone has no input to give its relevance to.
        count = call.forward(torch.ones_like(call.x[:1]), ones).clamp(min=1)
        return call.transpose(g * call.z / count, ones)


@register_rule("wsquare")
@dataclass(frozen=True)
class WSquare(Rule):
    """R_i = sum_j W_ij^2 / sum_k W_kj^2 R_j  (Montavon et al. 2017, eq. 12)."""

    name = "wsquare"
    zennit_class = "WSquare"
    ranges: ClassVar[Ranges] = {"stabilizer": (0.0, 1.0)}
    input_only = True
    stabilizer: float = 1e-6

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        squared = call.weight.square()
        total = call.forward(torch.ones_like(call.x[:1]), squared)
        return call.transpose(g * call.z / stabilized(total, self.stabilizer), squared)


@register_rule("zbox")
@dataclass(frozen=True)
class ZBox(Rule):
    """R_i = sum_j (x_i W_ij - l W_ij+ - h W_ij-) / (sum over i) R_j for x in [l, h]  (Montavon 2017, eq. 14).

    Attributes:
        low, high: The box in normalised pixel values; the image must lie inside.
    """

    name = "zbox"
    zennit_class = "ZBox"
    ranges: ClassVar[Ranges] = {
        "low": (-math.inf, math.inf),
        "high": (-math.inf, math.inf),
        "stabilizer": (0.0, 1.0),
    }
    input_only = True
    low: float = -3.0
    high: float = 3.0
    stabilizer: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low < self.high:
            raise XaipruneError(f"rule zbox: low must be below high, got {self.low:g} and {self.high:g}")

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        low, high = torch.full_like(call.x, self.low), torch.full_like(call.x, self.high)
        plus, minus = call.positive_weight(), call.negative_weight()
        total = call.forward(call.x, call.weight) - call.forward(low, plus) - call.forward(high, minus)
        s = g * call.z / stabilized(total, self.stabilizer)
        return (
            call.x * call.transpose(s, call.weight)
            - low * call.transpose(s, plus)
            - high * call.transpose(s, minus)
        )
