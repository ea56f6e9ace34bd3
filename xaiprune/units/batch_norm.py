"""BatchNorm with running statistics as scale and shift.

PyTorch's own backward of it is wrong for one image whose gradient arrives in channels-last order (2.14 on a
CPU, float32 and float64), so no gradient here goes through it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from xaiprune.tracing import short_name


def scale_and_shift(
    mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """The affine map that BatchNorm is in eval mode: factors and summands of the channels, (C,) each."""
    scale = (var + eps).rsqrt() if weight is None else weight * (var + eps).rsqrt()
    return scale, -mean * scale if bias is None else bias - mean * scale


def affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``x * scale + shift`` over the channels of (N, C, ...)."""
    shape = (-1, *[1] * (x.dim() - 2))
    return x * scale.to(x.dtype).view(shape) + shift.to(x.dtype).view(shape)


class BatchNormWrittenOut(TorchFunctionMode):
    """While it lasts, every BatchNorm with running statistics runs as scale and shift."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return (
            _batch_norm(func, *args, **kwargs) if short_name(func) == "batch_norm" else func(*args, **kwargs)
        )


def _batch_norm(
    func: Any,
    x: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *rest: Any,
) -> Tensor:
    if training or mean is None or var is None or rest:
        result: Tensor = func(x, mean, var, weight, bias, training, momentum, eps, *rest)
        return result
    return affine(x, *scale_and_shift(mean, var, weight, bias, eps))
