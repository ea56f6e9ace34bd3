"""Reads activations at unit layers' taps while a network runs, without changing it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, real_positions
from xaiprune.units import ImageAxis, UnitLayer

Captured = dict[str, list[Tensor]]
"""Unit layer name -> the tapped tensor of every call of the tap, in order (a shared module has several)."""

_OUTERMOST = ImageAxis()


@contextmanager
def captured(
    model: nn.Module, units: Sequence[UnitLayer], keep: Callable[[Tensor], Tensor] | None = None
) -> Iterator[Captured]:
    """Collect the tapped tensors of everything the network runs inside the block.

    Args:
        model: The network.
        units: Where to read.
        keep: What to keep of each tensor (its magnitude, for example), applied immediately. None keeps the
            tensor itself, part of the autograd graph and safe from later in-place operations.

    Raises:
        XaipruneError: A tap is no module of the network.
    """
    store: Captured = defaultdict(list)
    handles = []
    try:
        for unit in units:
            handles.append(_hook(tap_module(model, unit), unit, store, keep))
        yield store
    finally:
        for handle in handles:
            handle.remove()


def require_all(store: Captured, units: Sequence[UnitLayer]) -> None:
    """Refuse unit layers whose tap did not run.

    Raises:
        XaipruneError: A tap was bypassed, as nn.MultiheadAttention does with its projections.
    """
    for unit in units:
        if unit.name not in store:
            raise XaipruneError(
                f"unit layer {unit.name}: the forward bypasses its tap '{unit.tap}' without calling it, so "
                "its units cannot be read; exclude the layer (units.exclude) or use an LRP composite"
            )


def images_first(tensor: Tensor, unit: UnitLayer, count: int, axis: ImageAxis) -> Tensor:
    """A view of a tapped tensor, (N, ..., channels).

    Args:
        tensor: Tapped tensor.
        unit: The unit layer it was read at.
        count: Number of images N; the whole tensor belongs to an image that is alone.
        axis: Which of it belongs to which image.

    Raises:
        XaipruneError: The tensor does not have the unit layer's size.
    """
    wrong = tensor.shape[unit.dim] != unit.units * unit.width
    if wrong or (count > 1 and tensor.shape[axis.dim] % count):
        raise XaipruneError(
            f"unit layer {unit.name}: expected {unit.units} x {unit.width} channels of {count} images at "
            f"'{unit.tap}' (dim {unit.dim}), got a tensor of shape {tuple(tensor.shape)}"
        )
    return tensor.movedim(unit.dim, -1)[None] if count == 1 else axis.first(tensor, count, unit.dim)


def by_unit(tensor: Tensor, unit: UnitLayer, count: int, axis: ImageAxis = _OUTERMOST) -> Tensor:
    """Rearrange a tapped tensor so that units have a dimension of their own (see `images_first`).

    Returns:
        (N, positions, units, width); windows and tokens count as positions.
    """
    return images_first(tensor, unit, count, axis).reshape(count, -1, unit.units, unit.width)


def without_padding(tensor: Tensor, inputs: Inputs) -> Tensor:
    """What a module read or made of a batch, less the positions that are padding.

    Args:
        tensor: Of the module; of texts (N, T, channels).
        inputs: The batch.

    Returns:
        (positions, channels) of texts that are padded, else the tensor.
    """
    real = real_positions(inputs, tensor.shape[:-1]) if tensor.dim() == 3 else None
    return tensor if real is None else tensor[real.to(tensor.device)]


def per_unit(tensor: Tensor, unit: UnitLayer, count: int, axis: ImageAxis = _OUTERMOST) -> Tensor:
    """Sum a tapped tensor over everything but images and units, (N, units); see `by_unit`."""
    return by_unit(tensor, unit, count, axis).sum((1, 3))


def tap_module(model: nn.Module, unit: UnitLayer) -> nn.Module:
    try:
        return model.get_submodule(unit.tap)
    except AttributeError:
        raise XaipruneError(
            f"unit layer {unit.name}: this network has no module '{unit.tap}'; find the units on this network"
        ) from None


def _hook(
    module: nn.Module, unit: UnitLayer, store: Captured, keep: Callable[[Tensor], Tensor] | None
) -> torch.utils.hooks.RemovableHandle:
    def take(tensor: Tensor) -> Tensor | None:
        if keep is not None:
            store[unit.name].append(keep(tensor))
            return None
        store[unit.name].append(tensor)
        # The network continues with a copy: an in-place ReLU or `x += shortcut` must not overwrite ours.
        return tensor.clone()

    if unit.where == "input":

        def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            copy = take(args[0])
            return None if copy is None else (copy, *args[1:])

        return module.register_forward_pre_hook(before)

    def after(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor | None:
        return take(output)

    return module.register_forward_hook(after)
