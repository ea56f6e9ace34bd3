"""Elementwise math in blocks that stay in the processor's cache.

A rule's elementwise part reads and writes its tensors some ten times. Over tensors larger than the cache
each of these passes goes to main memory, which costs more than the convolution; block by block it does not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 1 << 16
"""Elements a block: with five float32 operands about 1.3 MB, inside a core's second-level cache."""


def blockwise(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """``function(*inputs)`` of equally shaped tensors, block by block on a CPU.

    Args:
        function: Elementwise; gets equally shaped one-dimensional parts and returns one of that shape. It
            may change what it allocates, never its arguments.
        inputs: Tensors of one shape.
    """
    first = inputs[0]
    if first.device.type != "cpu" or first.numel() <= BLOCK:
        return function(*inputs)
    flat = [t.contiguous().view(-1) for t in inputs]
    out = torch.empty_like(flat[0])
    for start in range(0, out.numel(), BLOCK):
        part = slice(start, start + BLOCK)
        out[part] = function(*(t[part] for t in flat))
    return out.view(first.shape)


def any_below_zero(values: Tensor, where: Tensor) -> bool:
    """Whether ``values`` is nonzero anywhere where ``where`` is below zero; stops at the first such block."""
    if values.device.type != "cpu" or values.numel() <= BLOCK:
        return bool(((where < 0) & (values != 0)).any())
    flat, signs = values.contiguous().view(-1), where.contiguous().view(-1)
    blocks = (slice(start, start + BLOCK) for start in range(0, flat.numel(), BLOCK))
    return any(bool(((signs[b] < 0) & (flat[b] != 0)).any()) for b in blocks)
