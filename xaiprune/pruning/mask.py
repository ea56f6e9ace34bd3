"""Zeroes units while a ``with`` block lasts; nothing of the network changes."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning.plan import PlanLike, units_to_remove
from xaiprune.units import UnitLayer


@contextmanager
def masked(model: nn.Module, plan: PlanLike, units: Sequence[UnitLayer]) -> Iterator[nn.Module]:
    """Zero the activations of a plan's units, exactly, after their BatchNorm.

    Blocks nest (the union is zero) and unwind under exceptions. Gradients through zeroed units are zero.

    Args:
        model: The network.
        plan: The units to zero: a plan, or unit layer name -> units.
        units: The network's unit layers.

    Raises:
        XaipruneError: If the plan names layers or units that the network does not have.

    Example:
        >>> with masked(model, plan, units):
        ...     logits = model(images)
    """
    layers = {layer.name: layer for layer in units}
    modules = dict(model.named_modules())
    with ExitStack() as hooks:
        for name, removed in units_to_remove(plan, units).items():
            if removed:
                _mask_layer(hooks, modules, layers[name], removed)
        yield model


def _mask_layer(
    hooks: ExitStack, modules: dict[str, nn.Module], layer: UnitLayer, removed: Sequence[int]
) -> None:
    zeroed = torch.zeros(layer.units * layer.width, dtype=torch.bool)
    zeroed[layer.channels(removed)] = True
    module = modules.get(layer.name)
    if isinstance(module, nn.MultiheadAttention):
        _mask_multihead(hooks, module, zeroed)
        return
    if layer.tap not in modules:
        raise XaipruneError(f"{layer.tap} is not a module of this network")
    zeroing = _Zeroing(zeroed, layer)
    if layer.where == "input":
        hooks.enter_context(modules[layer.tap].register_forward_pre_hook(zeroing.input))
    else:
        hooks.enter_context(modules[layer.tap].register_forward_hook(zeroing.output))


class _Zeroing:
    """Hooks that zero channels of a tensor, in a copy."""

    def __init__(self, zeroed: Tensor, layer: UnitLayer) -> None:
        self._zeroed = zeroed
        self._layer = layer
        self._shaped: dict[tuple[int, torch.device], Tensor] = {}

    def _zero(self, tensor: Tensor) -> Tensor:
        key = (tensor.ndim, tensor.device)
        if key not in self._shaped:
            view = [1] * tensor.ndim
            view[self._layer.dim] = -1
            self._shaped[key] = self._zeroed.view(view).to(tensor.device)
        if tensor.shape[self._layer.dim] != len(self._zeroed):
            raise XaipruneError(
                f"{self._layer.tap} carries {tensor.shape[self._layer.dim]} channels, the unit layer "
                f"{self._layer.name} has {len(self._zeroed)}; find the units of this network again"
            )
        return tensor.masked_fill(self._shaped[key], 0)

    def output(self, _: nn.Module, args: Any, output: Tensor) -> Tensor:
        return self._zero(output)

    def input(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._zero(args[0]), *args[1:])


def _mask_multihead(hooks: ExitStack, module: nn.MultiheadAttention, zeroed: Tensor) -> None:
    """Zero heads of torch's own attention, which never calls its ``out_proj`` module.

    Zeroing columns of the projection's weight is the same as zeroing its input. The weight is swapped
    for a masked copy during each call only.
    """
    parameters = module.out_proj._parameters
    saved: list[Any] = []

    def swap(_: nn.Module, args: Any) -> None:
        weight = parameters["weight"]
        saved.append(weight)
        parameters["weight"] = weight.masked_fill(zeroed.to(weight.device), 0)  # type: ignore[union-attr,assignment]

    def restore(_: nn.Module, args: Any, output: Any) -> None:
        parameters["weight"] = saved.pop()

    hooks.enter_context(module.register_forward_pre_hook(swap))
    hooks.enter_context(module.register_forward_hook(restore, always_call=True))
