"""Who reads each unit layer, and what else removal and compensation need to know of a network's flow."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from xaiprune.units.find import classifiers, layer_calls, tap_of
from xaiprune.units.flow import Flow, trace
from xaiprune.units.layer import UnitLayer
from xaiprune.units.reach import Consumer, Reach, reach


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
        """Why a layer's units cannot leave the tensors."""
        found = self.reaches[layer.name]
        if found.blocked or found.mixed:
            return found.blocked or found.mixed
        if found.depthwise:
            return f"feeds the depthwise convolution {found.depthwise[0]}, whose channels can go in its place"
        if not layer.removable:
            return "heads read one another" if layer.kind == "heads" else "is part of a grouped convolution"
        return ""


def find_links(model: nn.Module, units: Sequence[UnitLayer], example: Tensor) -> Links:
    """Trace one forward and follow every unit layer to its consumers.

    Args:
        model: The network.
        units: Its unit layers.
        example: One input, (1, 3, H, W).
    """
    flow = trace(model, example)
    modules = dict(model.named_modules())
    calls = layer_calls(flow, modules, (nn.Conv2d, nn.Linear))
    norms: dict[str, str] = {}
    for name, values in calls.items():
        tap, _ = tap_of(flow, modules, name, values)
        if tap != name:
            norms[name] = tap
    reaches = {layer.name: _layer_reach(flow, model, modules, layer, calls) for layer in units}
    return Links(reaches, norms, tuple(classifiers(flow, modules)), tuple(calls))


def _layer_reach(
    flow: Flow,
    model: nn.Module,
    modules: dict[str, nn.Module],
    layer: UnitLayer,
    calls: dict[str, list[int]],
) -> Reach:
    if layer.where == "input":
        size = layer.units * layer.width
        unit = tuple(channel // layer.width for channel in range(size))
        return Reach([Consumer(layer.tap, unit, zero=True, padded=False)])
    _, starts = tap_of(flow, modules, layer.name, calls[layer.name])
    return reach(flow, model, starts, layer.dim)
