"""What a unit layer is: the data that units, attribution and pruning agree on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xaiprune.errors import XaipruneError


@dataclass(frozen=True)
class UnitLayer:
    """The units of one layer, and where in the network they can be read and masked.

    Attributes:
        name: Qualified name of the module that makes the units: a convolution or linear layer
            (``layer1.0.conv1``, ``blocks.0.mlp.fc1``), or for heads the attention module (``blocks.0.attn``).
        kind: What one unit is; a name that is registered as a unit kind.
        units: How many units the layer has.
        tap: Qualified name of the module at which the units are read and masked. For a convolution
            followed by BatchNorm this is the BatchNorm; for heads the output projection, for the neurons of a
            gated MLP the layer that reads the product.
        where: Whether the units lie in the tap's output or in its (first) input.
        dim: Dimension of the tapped tensor that runs over units; ``1`` for feature maps
            (N, C, H, W), ``-1`` for tokens (N, ..., C).
        width: Consecutive channels that belong to one unit (``head_dim`` for heads, else 1), so that
            the tapped tensor's size along ``dim`` is ``units * width``.
        removable: False where the units can only be masked (their outputs enter a residual stream).
        reason: Why the units can only be masked, where the layers that read them are not the reason.
    """

    name: str
    kind: str
    units: int
    tap: str
    where: Literal["output", "input"] = "output"
    dim: int = 1
    width: int = 1
    removable: bool = True
    reason: str = ""

    def __repr__(self) -> str:
        return f"UnitLayer({self.name}: {self.units} {self.kind})"

    @property
    def heads(self) -> bool:
        """Whether a unit is a part of what an attention module's projection reads."""
        return self.where == "input" and f".{self.tap}.".startswith(f".{self.name}.".replace("..", "."))

    def channels(self, units: Sequence[int]) -> Tensor:
        """The tapped tensor's positions along ``dim`` that belong to the units, (len(units) * width,).

        Raises:
            XaipruneError: If the layer does not have one of the units.
        """
        first = torch.as_tensor(list(units), dtype=torch.long)
        if len(first) and not 0 <= int(first.min()) <= int(first.max()) < self.units:
            raise XaipruneError(f"{self.name} has {self.units} units; there is no unit {int(first.max())}")
        return (first[:, None] * self.width + torch.arange(self.width)).flatten()
