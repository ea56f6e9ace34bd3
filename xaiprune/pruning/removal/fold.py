"""Writes masks and constants into a network's tensors, so that no hooks are needed."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.units import UnitLayer, is_linear, weight_of


def zero_units_(model: nn.Module, removed: Mapping[str, Sequence[int]], units: Sequence[UnitLayer]) -> None:
    """Make the units' outputs exactly zero by their weights, in place (eval mode).

    A BatchNorm's scale and shift, a convolution's or linear layer's rows, or the output projection's
    columns of a head become zero. Further training can make such units nonzero again.
    """
    layers = {layer.name: layer for layer in units}
    for name, chosen in removed.items():
        if len(chosen):
            _zero_layer_(model, layers[name], chosen)


@torch.no_grad()
def _zero_layer_(model: nn.Module, layer: UnitLayer, units: Sequence[int]) -> None:
    index = layer.channels(units)
    tap = model.get_submodule(layer.tap)
    if layer.where == "input":
        if not is_linear(tap):
            raise XaipruneError(f"{layer.tap} is not a linear layer; its input cannot be zeroed by weights")
        weight_of(tap)[:, index] = 0
    elif isinstance(tap, nn.modules.batchnorm._BatchNorm) and tap.affine:
        tap.weight[index] = 0
        tap.bias[index] = 0
    elif isinstance(tap, nn.Conv2d) or is_linear(tap):
        weight_of(tap)[index] = 0
        if isinstance(tap.bias, Tensor):
            tap.bias[index] = 0
    else:
        raise XaipruneError(f"{layer.tap} ({type(tap).__name__}) has no weights that could zero its units")


@torch.no_grad()
def add_to_output_(layer: nn.Module, shift: Tensor, norm: nn.Module | None = None) -> None:
    """Add a constant to every output channel, in place.

    Args:
        layer: A convolution or linear layer.
        shift: (out channels,).
        norm: The BatchNorm that alone reads the layer; if the layer has no bias, its running mean takes
            the constant (exact in eval mode), so that no parameter is added.
    """
    weight: Tensor = layer.weight  # type: ignore[assignment]
    shift = shift.to(weight)
    if layer.bias is not None:
        layer.bias.add_(shift)  # type: ignore[operator]
    elif isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.running_mean is not None:
        norm.running_mean.sub_(shift)
    else:
        layer.bias = nn.Parameter(shift.clone(), requires_grad=weight.requires_grad)


def constant_contribution(layer: nn.Module, index: Tensor, values: Tensor) -> Tensor:
    """What constant inputs add to every output channel (where the kernel does not reach into padding).

    Args:
        layer: A convolution (groups = 1) or linear layer.
        index: Input channels that are constant.
        values: Their values, (len(index),).

    Returns:
        (out channels,), in float64.
    """
    weight = weight_of(layer).detach()
    columns = weight[:, index].double().flatten(2).sum(2) if weight.ndim > 2 else weight[:, index].double()
    return columns @ values.double().to(columns.device)
