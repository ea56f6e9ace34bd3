"""Criteria that need no images: chance and weight magnitude."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xaiprune.attribution.criteria.taps import tap_module
from xaiprune.attribution.criteria.types import Scores, SelectsLogits
from xaiprune.attribution.targets import Labels
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs
from xaiprune.registry import register_criterion
from xaiprune.units.layer import UnitLayer
from xaiprune.units.weights import is_linear, weight_of


@register_criterion("random")
def random(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Scores:
    """Uniform chance in [0, 1), the same for the same seed and unit layers."""
    generator = torch.Generator().manual_seed(seed)
    return {unit.name: torch.rand(unit.units, generator=generator, dtype=torch.float64) for unit in units}


@register_criterion("magnitude_l1")
def magnitude_l1(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Scores:
    """Sum of |weights| of each unit with its BatchNorm folded in (Li et al. 2017)."""
    return {unit.name: unit_weights(model, unit).abs().sum(1) for unit in units}


@register_criterion("magnitude_l2")
def magnitude_l2(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Scores:
    """Euclidean norm of the weights of each unit with its BatchNorm folded in."""
    return {unit.name: unit_weights(model, unit).square().sum(1).sqrt() for unit in units}


def unit_weights(model: nn.Module, unit: UnitLayer) -> Tensor:
    """The weights that make a unit, or those that read it where none make it alone.

    A filter or neuron is made by a row of its layer's weight, times ``weight / sqrt(var + eps)`` of a
    BatchNorm at its tap. A head, or a neuron of a gated MLP, is made by no single row; it is judged by the
    columns of the layer that reads it. Biases do not count.

    Returns:
        (units, weights per unit), float64 on the CPU, detached.

    Raises:
        XaipruneError: Neither the layer nor its tap has weights that belong to the units.
    """
    tap = tap_module(model, unit)
    maker = model.get_submodule(unit.name)
    if unit.where == "input" and (is_linear(tap) or isinstance(tap, nn.Conv2d)):
        columns = _plain(weight_of(tap)).transpose(0, 1)
        if len(columns) == unit.units * unit.width:
            return columns.reshape(unit.units, -1)
    # torch promises no public base of all convolutions; the transposed ones keep outputs in dimension 1.
    elif is_linear(maker) or isinstance(maker, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        rows = _plain(weight_of(maker)).flatten(1)
        if len(rows) == unit.units * unit.width:
            if isinstance(tap, _BatchNorm):
                rows = rows * _batch_norm_scale(tap)[:, None]
            return rows.reshape(unit.units, -1)
    raise XaipruneError(
        f"unit layer {unit.name}: weight magnitude is undefined, no weight of it or its tap '{unit.tap}' has "
        f"{unit.units} x {unit.width} rows or columns; exclude the layer or choose another criterion"
    )


def folded_weight(model: nn.Module, layer: str, norm: str | None) -> Tensor:
    """A layer's weight, times the scale of a BatchNorm that reads its outputs.

    Args:
        model: The network.
        layer: A linear layer or convolution.
        norm: The BatchNorm; None: there is none.

    Returns:
        (out, in / groups, kernel positions), float64 on the CPU, detached; a linear layer has one position.
    """
    weight = _plain(weight_of(model.get_submodule(layer)))
    weight = weight.reshape(*weight.shape[:2], -1)
    scale = None if norm is None else model.get_submodule(norm)
    return weight * _batch_norm_scale(scale)[:, None, None] if isinstance(scale, _BatchNorm) else weight


def _batch_norm_scale(norm: _BatchNorm) -> Tensor:
    if norm.running_var is None:
        raise XaipruneError("weight magnitude: a BatchNorm without running statistics cannot be folded")
    scale = (_plain(norm.running_var) + norm.eps).rsqrt()
    return scale if norm.weight is None else scale * _plain(norm.weight)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)
