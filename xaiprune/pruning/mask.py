"""Zero units while a ``with`` block lasts; nothing of the network changes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning.plan import Plan
from xaiprune.units import UnitLayer


@contextmanager
def masked(
    model: nn.Module, removed: Plan | Mapping[str, Sequence[int]], units: Sequence[UnitLayer]
) -> Iterator[nn.Module]:
    """Zero the removed units' activations, exactly, after their BatchNorm.

    Blocks nest (the union is zero) and unwind under exceptions. Gradients through zeroed units are zero.

    Args:
        model: The network.
        removed: A plan, or unit layer name -> units.
        units: The network's unit layers.

    Raises:
        XaipruneError: If the plan names layers or units that the network does not have.

    Example:
        >>> with masked(model, plan, units):
        ...     logits = model(images)
    """
    if isinstance(removed, Plan):
        removed.check(units)
        removed = removed.removed
    layers = {layer.name: layer for layer in units}
    modules = dict(model.named_modules())
    with ExitStack() as stack:
        for name, going in removed.items():
            if name not in layers:
                raise XaipruneError(f"{name} is not a unit layer of this network")
            if len(going):
                _mask_layer(stack, modules, layers[name], going)
        yield model


def channels(layer: UnitLayer, units: Sequence[int]) -> Tensor:
    """The tapped tensor's positions along ``dim`` that belong to the units, (len(units) * width,)."""
    first = torch.as_tensor(list(units), dtype=torch.long)
    if len(first) and not 0 <= int(first.min()) <= int(first.max()) < layer.units:
        raise XaipruneError(f"{layer.name} has {layer.units} units; there is no unit {int(first.max())}")
    return (first[:, None] * layer.width + torch.arange(layer.width)).flatten()


def _mask_layer(
    stack: ExitStack, modules: Mapping[str, nn.Module], layer: UnitLayer, units: Sequence[int]
) -> None:
    gone = torch.zeros(layer.units * layer.width, dtype=torch.bool)
    gone[channels(layer, units)] = True
    holder = modules.get(layer.name)
    if isinstance(holder, nn.MultiheadAttention):
        _mask_multihead(stack, holder, gone)
        return
    if layer.tap not in modules:
        raise XaipruneError(f"{layer.tap} is not a module of this network")
    zero = _Zeroing(gone, layer)
    tap = modules[layer.tap]
    if layer.where == "input":
        stack.callback(tap.register_forward_pre_hook(zero.input).remove)
    else:
        stack.callback(tap.register_forward_hook(zero.output).remove)


class _Zeroing:
    """Hooks that zero channels of a tensor, in a copy."""

    def __init__(self, gone: Tensor, layer: UnitLayer) -> None:
        self._gone = gone
        self._layer = layer
        self._shaped: dict[tuple[int, torch.device], Tensor] = {}

    def _zeroed(self, tensor: Tensor) -> Tensor:
        key = (tensor.ndim, tensor.device)
        if key not in self._shaped:
            view = [1] * tensor.ndim
            view[self._layer.dim] = -1
            self._shaped[key] = self._gone.view(view).to(tensor.device)
        if tensor.shape[self._layer.dim] != len(self._gone):
            raise XaipruneError(
                f"{self._layer.tap} carries {tensor.shape[self._layer.dim]} channels, the unit layer "
                f"{self._layer.name} says {len(self._gone)}; find the units of this network again"
            )
        return tensor.masked_fill(self._shaped[key], 0)

    def output(self, _: nn.Module, args: Any, output: Tensor) -> Tensor:
        return self._zeroed(output)

    def input(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._zeroed(args[0]), *args[1:])


def _mask_multihead(stack: ExitStack, module: nn.MultiheadAttention, gone: Tensor) -> None:
    """Zero heads of torch's own attention, which never calls its ``out_proj`` module.

    Zeroing columns of the projection's weight is the same as zeroing its input. The weight is swapped
    for a masked copy during each call only.
    """
    parameters = module.out_proj._parameters
    saved: list[Any] = []

    def swap(_: nn.Module, args: Any) -> None:
        weight = parameters["weight"]
        saved.append(weight)
        parameters["weight"] = weight.masked_fill(gone.to(weight.device), 0)  # type: ignore[union-attr,assignment]

    def restore(_: nn.Module, args: Any, output: Any) -> None:
        parameters["weight"] = saved.pop()

    hooks: list[Callable[[], None]] = [
        module.register_forward_pre_hook(swap).remove,
        module.register_forward_hook(restore, always_call=True).remove,
    ]
    for remove in hooks:
        stack.callback(remove)
