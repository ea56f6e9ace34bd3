"""Residual streams: values that several layers write to, whose channels can only be cut from all of them."""

from collections.abc import Sequence

from torch import nn

from xaiprune.forward import Inputs
from xaiprune.units.calls import layer_calls, tap_of
from xaiprune.units.cutting import why_uncuttable
from xaiprune.units.flow import trace
from xaiprune.units.layer import UnitLayer
from xaiprune.units.slices import Slices, places, slices_of


def find_streams(model: nn.Module, units: Sequence[UnitLayer], example: Inputs) -> list[Slices]:
    """The tensors of each stream that unit layers write to and whose channels can be cut, in execution order.

    Args:
        model: The network.
        units: Its unit layers; those whose units can be removed alone are no part of a stream.
        example: One input, (1, 3, H, W).
    """
    flow = trace(model, example)
    calls = layer_calls(flow, (nn.Conv2d, nn.Linear))
    seen: set[str] = set()
    found: dict[str, Slices] = {}
    for layer in units:
        if layer.removable or layer.heads or layer.name in seen:
            continue
        _, starts = tap_of(flow, layer.name, calls[layer.name])
        slices = slices_of(flow, places(flow, starts, layer.dim, layer.width))
        if not slices.blocked and not slices.mixed:
            seen |= slices.writers
            found[layer.name] = slices
    failing = why_uncuttable(flow, found)
    return [slices for name, slices in found.items() if not failing[name]]
