"""The unit kinds that xaiprune brings along: how the units of each are found in a traced network.

An entry is a function of the traced forward that returns the unit layers in execution order. The first line
of its docstring is what people read about the kind.
"""

from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from xaiprune.registry import register_unit_kind
from xaiprune.units.attention import find_attention
from xaiprune.units.calls import in_execution_order, is_classifier, layer_calls, tap_of
from xaiprune.units.flow import Flow
from xaiprune.units.layer import UnitLayer
from xaiprune.units.reach import Reach, reach


@register_unit_kind("filters")
def filters(flow: Flow) -> list[UnitLayer]:
    """Output channels of every convolution."""
    layers, reaches = [], {}
    for name, values in layer_calls(flow, nn.Conv2d).items():
        tap, starts = tap_of(flow, name, values)
        reaches[name] = reach(flow, starts, dim=1)
        if not is_classifier(flow, values):
            layers.append(UnitLayer(name, "filters", flow.modules[name].out_channels, tap))  # type: ignore[arg-type]
    carriers = _depthwise_sources(reaches)
    found = []
    for layer in layers:
        groups: int = flow.modules[layer.name].groups  # type: ignore[assignment]
        removable, reason = reaches[layer.name].alone, ""
        if groups > 1:
            # A depthwise channel can be removed if the channel that feeds it serves nothing else.
            removable = removable and groups == layer.units and carriers.get(layer.name, False)
            reason = "" if removable else "is part of a grouped convolution"
        found.append(replace(layer, removable=removable, reason=reason))
    return found


def _depthwise_sources(reaches: dict[str, Reach]) -> dict[str, bool]:
    """Depthwise convolution -> whether it alone reads the channels of one dense convolution."""
    alone: dict[str, bool] = {}
    fed = {name for found in reaches.values() for name in found.depthwise}
    for name, found in reaches.items():  # execution order, so sources come first
        if len(found.depthwise) == 1 and not found.consumers and not found.blocked and not found.mixed:
            carrier = found.depthwise[0]
            source_alone = alone.get(name, True) if name in fed else True
            alone[carrier] = alone.get(carrier, True) and source_alone
        else:
            for carrier in found.depthwise:
                alone[carrier] = False
    return alone


@register_unit_kind("inner_filters")
def inner_filters(flow: Flow) -> list[UnitLayer]:
    """Output channels of convolutions whose removal makes tensors smaller."""
    return [replace(layer, kind="inner_filters") for layer in filters(flow) if layer.removable]


@register_unit_kind("neurons")
def neurons(flow: Flow) -> list[UnitLayer]:
    """Hidden units of MLPs: linear, elementwise, linear."""
    return [layer for layer, found in _linears(flow, "neurons") if found.consumers and not found.blocked]


@register_unit_kind("heads")
def heads(flow: Flow) -> list[UnitLayer]:
    """Attention heads."""
    return [
        UnitLayer(
            attention.name,
            "heads",
            attention.heads,
            attention.projection,
            "input",
            dim=-1,
            width=attention.head_dim,
            removable=not attention.mixed,
            reason="heads read one another" if attention.mixed else "",
        )
        for attention in find_attention(flow)
    ]


@register_unit_kind("neurons+heads")
def neurons_and_heads(flow: Flow) -> list[UnitLayer]:
    """Hidden units of MLPs and attention heads together."""
    return in_execution_order(flow, [*neurons(flow), *heads(flow)])


@register_unit_kind("linear_outputs")
def linear_outputs(flow: Flow) -> list[UnitLayer]:
    """Outputs of every linear layer outside attention."""
    return [layer for layer, _ in _linears(flow, "linear_outputs")]


def _linears(flow: Flow, kind: str) -> Iterator[tuple[UnitLayer, Reach]]:
    """The linear layers outside attention that are no classifier, and who reads them."""
    attention = find_attention(flow)
    projections = {found.projection for found in attention}
    inside = tuple(f"{found.name}." for found in attention if found.name)
    for name, values in layer_calls(flow, nn.Linear).items():
        if name in projections or name.startswith(inside) or is_classifier(flow, values):
            continue
        found = reach(flow, values, dim=-1)
        units: int = flow.modules[name].out_features  # type: ignore[assignment]
        yield UnitLayer(name, kind, units, name, dim=-1, removable=found.alone), found
