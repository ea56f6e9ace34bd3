"""Who reads each unit layer, and what else removal and compensation need to know of a network's flow."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs
from xaiprune.units.calls import is_classifier, layer_calls, read_by, tap_of
from xaiprune.units.flow import Flow, trace
from xaiprune.units.layer import UnitLayer
from xaiprune.units.reach import Consumer, Reach, reach
from xaiprune.units.weights import is_linear


@dataclass(frozen=True)
class Links:
    """What follows each unit layer.

    Attributes:
        reaches: Unit layer name -> its consumers, and why it cannot be removed, if so.
        norms: Convolution -> the BatchNorm that alone reads it, where there is one.
        classifiers: The layers that make the logits.
        order: Every convolution and linear layer, in execution order.
    """

    reaches: dict[str, Reach]
    norms: dict[str, str]
    classifiers: tuple[str, ...]
    order: tuple[str, ...]

    def why_not(self, layer: UnitLayer) -> str:
        """Why a layer's units can only be masked; empty where they can be removed."""
        found = self.reaches[layer.name]
        if found.blocked or found.mixed:
            return found.blocked or found.mixed
        if found.depthwise:
            return (
                f"feeds the depthwise convolution {found.depthwise[0]}, whose channels can be removed instead"
            )
        if found.uncut:
            return found.uncut
        if not layer.removable:
            return layer.reason or f"can only be masked as {layer.kind}"
        return ""


def find_links(model: nn.Module, units: Sequence[UnitLayer], example: Inputs) -> Links:
    """Trace one forward and follow every unit layer to its consumers.

    Args:
        model: The network.
        units: Its unit layers.
        example: One input, (1, 3, H, W).

    Raises:
        XaipruneError: If a unit layer is not of this network.
    """
    flow = trace(model, example)
    calls = layer_calls(flow, (nn.Conv2d, nn.Linear))
    taps = {name: tap_of(flow, name, values)[0] for name, values in calls.items()}
    return Links(
        reaches={layer.name: _reach_of(flow, layer, calls) for layer in units},
        norms={name: tap for name, tap in taps.items() if tap != name},
        classifiers=tuple(name for name, values in calls.items() if is_classifier(flow, values)),
        order=tuple(calls),
    )


def _reach_of(flow: Flow, layer: UnitLayer, calls: dict[str, list[int]]) -> Reach:
    if layer.heads:
        unit = tuple(channel // layer.width for channel in range(layer.units * layer.width))
        return Reach([Consumer(layer.tap, unit, zero=True, padded=False)])
    if layer.name not in calls:
        raise XaipruneError(
            f"unit layer {layer.name}: no convolution or linear layer of that name runs in this network"
        )
    if layer.where == "input":
        return reach(flow, read_by(flow, layer.tap), layer.dim, layer.width)
    _, starts = tap_of(flow, layer.name, calls[layer.name])
    past_depthwise = is_linear(flow.modules[layer.name])
    return reach(flow, starts, layer.dim, layer.width, past_depthwise=past_depthwise)
