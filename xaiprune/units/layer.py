"""What a unit layer is: the data that units, attribution and pruning agree on."""

from dataclasses import dataclass
from typing import Literal

UnitKind = Literal["filters", "inner_filters", "neurons", "heads", "linear_outputs"]


@dataclass(frozen=True)
class UnitLayer:
    """The units of one layer, and where in the network they can be read and masked.

    Attributes:
        name: Qualified name of the module that makes the units (``layer1.0.conv1``,
            ``blocks.0.mlp.fc1``; for heads the attention module, ``blocks.0.attn``).
        kind: What one unit is.
        units: How many units the layer has.
        tap: Qualified name of the module at which the units are read and masked. For a convolution
            followed by BatchNorm this is the BatchNorm; for heads the output projection.
        where: Whether the units lie in the tap's output or in its (first) input.
        dim: Dimension of the tapped tensor that runs over units; ``1`` for feature maps
            (N, C, H, W), ``-1`` for tokens (N, ..., C).
        width: Consecutive channels that belong to one unit (``head_dim`` for heads, else 1), so that
            the tapped tensor's size along ``dim`` is ``units * width``.
        removable: False where the units can only be masked (their outputs enter a residual stream).
    """

    name: str
    kind: UnitKind
    units: int
    tap: str
    where: Literal["output", "input"] = "output"
    dim: int = 1
    width: int = 1
    removable: bool = True
