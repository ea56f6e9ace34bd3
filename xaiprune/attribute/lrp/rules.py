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
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from xaiprune.errors import XaipruneError

if TYPE_CHECKING:
    from xaiprune.attribute.lrp.linear import LinearCall

Bias = Literal["absorb", "exclude"]


def stabilized(z: Tensor, epsilon: float) -> Tensor:
    """``z + epsilon * sign(z)`` with sign(0) = +1, never exactly zero."""
    if epsilon == 0:
        # The smallest normal number keeps 0 / 0 at 0 and changes nothing else.
        epsilon = torch.finfo(z.dtype).tiny
    return torch.where(z < 0, z - epsilon, z + epsilon)


@dataclass(frozen=True)
class Rule:
    """What every rule has: a name, a bias handling, and checked parameter ranges.

    Attributes:
        ranges: Parameter name -> (lowest, highest) value allowed, both included.
        input_only: True for rules that are defined for layers whose input is the image.
    """

    name: ClassVar[str]
    ranges: ClassVar[dict[str, tuple[float, float]]] = {}
    input_only: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for key, (low, high) in self.ranges.items():
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                span = f"at least {low:g}" if high == math.inf else f"in [{low:g}, {high:g}]"
                raise XaipruneError(f"rule {self.name}: {key} must be {span}, got {value!r}")
        if getattr(self, "bias", "absorb") not in ("absorb", "exclude"):
            raise XaipruneError(f"rule {self.name}: bias must be absorb or exclude, got {self.bias!r}")  # type: ignore[attr-defined]

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        """Gradient-form relevance of the inputs.

        Args:
            call: The layer's inputs, outputs and weights, and how to run it forwards and transposed.
            g: Gradient-form relevance of the outputs, shaped like ``call.z``.

        Returns:
            Gradient-form relevance of the inputs, shaped like ``call.x``; for ``input_only`` rules the
            relevance itself, since it does not vanish where x does.
        """
        raise NotImplementedError(f"rule {self.name} defines no propagation")

    def parameters(self) -> dict[str, float | str]:
        """The rule's parameters by name, as written to YAML."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __str__(self) -> str:
        defaults = {f.name: f.default for f in fields(self)}
        shown = [
            f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}"
            for k, v in self.parameters().items()
            if (k in self.ranges and k != "stabilizer") or v != defaults[k]
        ]
        return f"{self.name}({', '.join(shown)})" if shown else self.name


@dataclass(frozen=True)
class Epsilon(Rule):
    """R_i = sum_j x_i W_ij / (z_j + eps sign z_j) R_j  (Bach et al. 2015, eq. 58).

    ``epsilon=0`` is the plain gradient, so that R is activation times gradient (Taylor) at every layer.
    """

    name: ClassVar[str] = "epsilon"
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"epsilon": (0.0, math.inf)}
    epsilon: float = 1e-6
    bias: Bias = "absorb"

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        if self.bias == "exclude" and call.bias is not None:
            s = g * call.z / stabilized(call.z_without_bias(), self.epsilon)
        elif self.epsilon == 0:
            s = g
        else:
            # g z / (z + eps sign z) = g - g eps / (|z| + eps), in three passes over memory
            s = torch.addcdiv(g, g, call.z.abs().add_(self.epsilon), value=-self.epsilon)
        return call.transpose(s, call.weight)


@dataclass(frozen=True)
class Gamma(Rule):
    """Favours contributions of the output's own sign (Montavon et al. 2019; signed form Andeol et al. 2021).

    Where z_j > 0 a contribution c_ij = x_i W_ij counts as c_ij + gamma c_ij+, against z_j + gamma P_j;
    where z_j < 0 as c_ij + gamma c_ij-, against z_j + gamma N_j. ``gamma=0`` is epsilon, ``gamma`` to
    infinity tends to z+ where z_j > 0. With ``bias="exclude"``, z_j means z_j - b_j here, also for the sign.
    """

    name: ClassVar[str] = "gamma"
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"gamma": (0.0, math.inf), "stabilizer": (0.0, 1.0)}
    gamma: float = 0.25
    stabilizer: float = 1e-6
    bias: Bias = "absorb"

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        exclude = self.bias == "exclude" and call.bias is not None
        z = call.z_without_bias() if exclude else call.z
        relevance = g * call.z
        positive = call.positive_sum(with_bias=not exclude)
        negative_reached = bool(((z < 0) & (relevance != 0)).any())

        # P >= z where z > 0, so this is never below z (1 + gamma); the clamp only meets entries with R = 0
        # there, or z = 0, where the stabilizer decides.
        tiny = max(self.stabilizer, torch.finfo(z.dtype).tiny)
        upper = torch.add(z, positive, alpha=self.gamma).add_(self.stabilizer).clamp_(min=tiny)
        if not negative_reached:
            s = relevance.div_(upper)
            if call.nonnegative:
                return call.transpose(s, call.boosted(self.gamma))
            return self._signed(call, s, s)

        upper_part = (relevance / upper).masked_fill_(z < 0, 0)
        # z + gamma N = (1 + gamma) z - gamma P
        lower = (
            torch.add(z * (1 + self.gamma), positive, alpha=-self.gamma)
            .sub_(self.stabilizer)
            .clamp_(max=-tiny)
        )
        lower_part = relevance.div_(lower).masked_fill_(z >= 0, 0)
        if call.nonnegative:
            g_in = call.transpose(upper_part, call.boosted(self.gamma))
            return g_in.add_(call.transpose(lower_part, call.boosted(self.gamma, negative=True)))
        return self._signed(call, upper_part + lower_part, upper_part.sub_(lower_part))

    def _signed(self, call: LinearCall, s: Tensor, difference: Tensor) -> Tensor:
        """Two transposed products instead of four.

        With U = W^T (s_up + s_low) and Y = |W|^T (s_up - s_low), the sum over W + gamma W+ (or W-, as signs
        of x and z ask) is U + gamma/2 (U + sign(x) Y), because W+ = (W + |W|)/2 and W- = (W - |W|)/2.
        """
        plain = call.transpose(s, call.weight)
        absolute = call.transpose(difference, call.absolute_weight())
        absolute = torch.where(call.x < 0, -absolute, absolute)
        return plain.mul_(1 + self.gamma / 2).add_(absolute, alpha=self.gamma / 2)


@dataclass(frozen=True)
class ZPlus(Rule):
    """R_i = sum_j (x_i W_ij)+ / P_j R_j  (Montavon et al. 2017, eq. 13; alpha-beta with alpha=1, beta=0)."""

    name: ClassVar[str] = "zplus"
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"stabilizer": (0.0, 1.0)}
    stabilizer: float = 1e-6
    bias: Bias = "absorb"

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        positive = call.positive_part(with_bias=self.bias == "absorb")
        s = (g * call.z).div_(stabilized(positive, self.stabilizer))
        return call.transpose_positive(s)


@dataclass(frozen=True)
class AlphaBeta(Rule):
    """R_i = sum_j (alpha c_ij+ / P_j - beta c_ij- / N_j) R_j with c_ij = x_i W_ij, alpha - beta = 1.

    Bach et al. 2015, eq. 60 (there with beta's sign inside).
    """

    name: ClassVar[str] = "alphabeta"
    ranges: ClassVar[dict[str, tuple[float, float]]] = {
        "alpha": (1.0, math.inf),
        "beta": (0.0, math.inf),
        "stabilizer": (0.0, 1.0),
    }
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

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        with_bias = self.bias == "absorb"
        relevance = g * call.z
        s = relevance / stabilized(call.positive_part(with_bias), self.stabilizer)
        g_in = call.transpose_positive(s.mul_(self.alpha))
        if self.beta == 0:
            return g_in
        negative = call.negative_part(with_bias)
        # N <= 0, so its stabilizer points down even where N = 0 (stabilized() would push it up there).
        tiny = max(self.stabilizer, torch.finfo(negative.dtype).tiny)
        s = relevance.div_(negative - tiny).mul_(self.beta)
        return g_in.sub_(call.transpose_negative(s))


@dataclass(frozen=True)
class Flat(Rule):
    """R_i = sum_j R_j / n_j, where n_j inputs reach output j (Lapuschkin et al. 2019)."""

    name: ClassVar[str] = "flat"
    input_only: ClassVar[bool] = True

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        ones = torch.ones_like(call.weight)
        count = call.forward(torch.ones_like(call.x[:1]), ones)
        return call.transpose(g * call.z / count, ones)


@dataclass(frozen=True)
class WSquare(Rule):
    """R_i = sum_j W_ij^2 / sum_k W_kj^2 R_j  (Montavon et al. 2017, eq. 12)."""

    name: ClassVar[str] = "wsquare"
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"stabilizer": (0.0, 1.0)}
    input_only: ClassVar[bool] = True
    stabilizer: float = 1e-6

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        squared = call.weight.square()
        total = call.forward(torch.ones_like(call.x[:1]), squared)
        return call.transpose(g * call.z / stabilized(total, self.stabilizer), squared)


@dataclass(frozen=True)
class ZBox(Rule):
    """R_i = sum_j (x_i W_ij - l W_ij+ - h W_ij-) / (sum over i) R_j for x in [l, h]  (Montavon 2017, eq. 14).

    Attributes:
        low, high: The box in normalised pixel values; the image must lie inside.
    """

    name: ClassVar[str] = "zbox"
    ranges: ClassVar[dict[str, tuple[float, float]]] = {
        "low": (-math.inf, math.inf),
        "high": (-math.inf, math.inf),
        "stabilizer": (0.0, 1.0),
    }
    input_only: ClassVar[bool] = True
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


RULES: dict[str, type[Rule]] = {
    rule.name: rule for rule in (Epsilon, Gamma, ZPlus, AlphaBeta, Flat, WSquare, ZBox)
}
