"""One linear layer or convolution as it ran: what the rules read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xaiprune.attribution.lrp.engine.blocks import select_by_sign


@dataclass(frozen=True)
class ConvGeometry:
    """Geometry of a convolution of any number of spatial dimensions.

    Attributes:
        stride: Of each dimension, as all but the last two.
        padding: On both sides.
        dilation: Of the kernel.
        groups: Of channels.
        transposed: Whether the convolution is a transposed one; its weight is (in, out[/groups], *kernel).
        output_padding: Of a transposed convolution.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    transposed: bool = False
    output_padding: tuple[int, ...] = ()

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return torch.convolution(x, weight, None, *self._options())

    def transpose(self, s: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        return torch.ops.aten.convolution_backward(
            s, x, weight, None, *self._options(), [True, False, False]
        )[0]

    def scaled(self, weight: Tensor, factor: Tensor) -> Tensor:
        """A weight, every output of which is multiplied by its factor, (out,)."""
        ones = [1] * len(self.stride)
        if not self.transposed:
            return weight * factor.view(-1, 1, *ones)
        by_group = weight.unflatten(0, (self.groups, -1)) * factor.view(self.groups, 1, -1, *ones)
        return by_group.flatten(0, 1)

    def _options(self) -> tuple[Any, ...]:
        extra = self.output_padding or [0] * len(self.stride)
        return self.stride, self.padding, self.dilation, self.transposed, extra, self.groups


class WeightCache:
    """Derived weights (BatchNorm folded, W+, |W|) of a network, computed once for all batches and passes."""

    def __init__(self) -> None:
        self._values: dict[tuple[Any, ...], tuple[tuple[object, ...], Any]] = {}

    def get(self, key: str, sources: tuple[Tensor | None, ...], make: Callable[[], Any]) -> Any:
        """``make()``, or its earlier result for the very same source tensors.

        The sources are kept alive with the value, so an ``id`` cannot be taken over by another tensor.
        """
        full = (key, *(id(source) for source in sources))
        if full not in self._values:
            self._values[full] = (sources, make())
        return self._values[full][1]


@dataclass
class LinearCall:
    """One call of a linear layer or convolution: ``z = forward(x, weight) + bias``.

    BatchNorm that directly follows is folded in, so that ``z`` is its output.

    Attributes:
        name: Qualified name of the layer.
        x: Inputs, (N, ..., in) for linear layers, (N, in, *space) for convolutions.
        z: Outputs, bias included.
        weight: (out, in[/groups], *kernel), or (out, in); of a transposed convolution as `ConvGeometry` says.
        bias: (out,) or None.
        geometry: None for linear layers.
        nonnegative: No input is below zero, for certain (after ReLU), which halves the work of most rules.
        raw_input: Whether x is the image itself.
        weights: Where derived weights are kept.
        keep_sums: Keep sums over inputs for the next composite.
        mixes_attention: Whether x are attention weights.
    """

    name: str
    x: Tensor
    z: Tensor
    weight: Tensor
    bias: Tensor | None
    geometry: ConvGeometry | None
    nonnegative: bool
    raw_input: bool
    weights: WeightCache
    keep_sums: bool = False
    mixes_attention: bool = False
    _sums: dict[str, Tensor] = field(default_factory=dict, init=False)

    # -- running the layer -------------------------------------------------------------------------

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer without its bias, for other inputs or weights."""
        return F.linear(x, weight) if self.geometry is None else self.geometry.forward(x, weight)

    def transpose(self, s: Tensor, weight: Tensor) -> Tensor:
        """``W^T s``: from output shape back to input shape."""
        return s @ weight if self.geometry is None else self.geometry.transpose(s, weight, self.x)

    def transpose_positive(self, s: Tensor) -> Tensor:
        """Gradient form of sum_j (x_i W_ij)+ s_j: through W+ where x >= 0, through W- where x < 0."""
        return self._transpose_by_sign(s, self.positive_weight, self.negative_weight)

    def transpose_negative(self, s: Tensor) -> Tensor:
        """Gradient form of sum_j (x_i W_ij)- s_j: through W- where x >= 0, through W+ where x < 0."""
        return self._transpose_by_sign(s, self.negative_weight, self.positive_weight)

    def _transpose_by_sign(
        self, s: Tensor, where_positive: Callable[[], Tensor], where_negative: Callable[[], Tensor]
    ) -> Tensor:
        through = self.transpose(s, where_positive())
        if self.nonnegative:
            return through
        return select_by_sign(self.x, through, self.transpose(s, where_negative()))

    # -- weights -----------------------------------------------------------------------------------

    def positive_weight(self) -> Tensor:
        return self.weights.get("plus", (self.weight,), lambda: self.weight.clamp(min=0))

    def negative_weight(self) -> Tensor:
        return self.weights.get("minus", (self.weight,), lambda: self.weight.clamp(max=0))

    def absolute_weight(self) -> Tensor:
        return self.weights.get("absolute", (self.weight,), self.weight.abs)

    def boosted(self, gamma: float) -> Tensor:
        """W + gamma W+."""
        return torch.add(self.weight, self.positive_weight(), alpha=gamma)

    # -- sums over inputs --------------------------------------------------------------------------

    def z_without_bias(self) -> Tensor:
        return self.z if self.bias is None else self.z - self._per_output(self.bias)

    def positive_part(self, with_bias: bool = True) -> Tensor:
        """P_j = sum_i (x_i W_ij)+ [+ b_j+], summed term by term, so that a small P is accurate."""
        return self._part(True, with_bias)

    def negative_part(self, with_bias: bool = True) -> Tensor:
        """N_j = sum_i (x_i W_ij)- [+ b_j-], summed term by term."""
        return self._part(False, with_bias)

    def magnitude(self, with_bias: bool = True) -> Tensor:
        """A_j = sum_i |x_i W_ij| [+ |b_j|]: one forward whatever the signs."""

        def compute() -> Tensor:
            total = self.forward(self.x.abs(), self.absolute_weight())
            if self.bias is None or not with_bias:
                return total
            return total.add_(self._per_output(self.bias.abs()))

        return self._kept(f"magnitude {with_bias}", compute)

    def _part(self, positive: bool, with_bias: bool) -> Tensor:
        def compute() -> Tensor:
            plus, minus = self.positive_weight, self.negative_weight
            same, other = (plus, minus) if positive else (minus, plus)
            if self.nonnegative:
                total = self.forward(self.x, same())
            else:
                total = self.forward(self.x.clamp(min=0), same())
                total = total.add_(self.forward(self.x.clamp(max=0), other()))
            if self.bias is None or not with_bias:
                return total
            part = self.bias.clamp(min=0) if positive else self.bias.clamp(max=0)
            return total.add_(self._per_output(part))

        return self._kept(f"{'plus' if positive else 'minus'} {with_bias}", compute)

    def _per_output(self, values: Tensor) -> Tensor:
        """(out,) values shaped to broadcast over the outputs."""
        return values if self.geometry is None else values.view(-1, *[1] * len(self.geometry.stride))

    def _kept(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """Sums do not depend on rules, so they are kept while several composites share this forward."""
        if not self.keep_sums:
            return compute()
        if key not in self._sums:
            self._sums[key] = compute()
        return self._sums[key]
