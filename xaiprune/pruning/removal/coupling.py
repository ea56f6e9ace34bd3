"""Channels that several layers share (a residual stream), so that they can only be removed together."""

from collections.abc import Sequence

from torch import nn

from xaiprune.forward import Inputs
from xaiprune.units import Slices, UnitLayer, default_example, find_streams


def couple(
    model: nn.Module, units: Sequence[UnitLayer], example: Inputs | None = None
) -> tuple[tuple[str, ...], ...]:
    """Find the unit layers whose units share channels, for ``make_plan(..., groups=...)``.

    Unit i of each layer of a group is channel i of the stream that all of them write to; once it is removed
    from all, the channel is removed. A group counts only if all its writers are unit layers.

    Args:
        model: The network; unchanged.
        units: Its unit layers.
        example: One input (1, 3, H, W); zeros of the default size if None.

    Returns:
        Groups of at least two layers each, in execution order.
    """
    return tuple(find_groups(model, units, default_example(model) if example is None else example))


def find_groups(
    model: nn.Module, units: Sequence[UnitLayer], example: Inputs
) -> dict[tuple[str, ...], Slices]:
    """The groups, and the tensors that hold the channels of each."""
    layers = {layer.name: layer for layer in units}
    groups = {}
    for slices in find_streams(model, units, example):
        names = tuple(name for name in layers if name in slices.writers)
        sizes = {(layers[name].units, layers[name].width) for name in names}
        if len(names) > 1 and len(names) == len(slices.writers) and len(sizes) == 1:
            groups[names] = slices
    return groups
