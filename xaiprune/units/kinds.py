"""The unit kinds that xaiprune brings along: how the units of each are found in a traced network.

An entry is a function of the traced forward that returns the unit layers in execution order. The first line
of its docstring is what people read about the kind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import nn

from xaiprune.registry import register_unit_kind
from xaiprune.units.attention import find_attention
from xaiprune.units.calls import in_execution_order, is_classifier, layer_calls, tap_of
from xaiprune.units.cutting import why_uncuttable
from xaiprune.units.flow import Flow
from xaiprune.units.heads import why_unshrinkable
from xaiprune.units.layer import UnitLayer
from xaiprune.units.reach import Reach, reach


@register_unit_kind("filters")
def filters(flow: Flow) -> list[UnitLayer]:
    """Output channels of every convolution."""
    found = []
    for name, values in layer_calls(flow, nn.Conv2d).items():
        if not is_classifier(flow, values):
            tap, starts = tap_of(flow, name, values)
            units: int = flow.modules[name].out_channels  # type: ignore[assignment]
            found.append((UnitLayer(name, "filters", units, tap), reach(flow, starts, dim=1)))
    return _judged(flow, found)


def _judged(flow: Flow, found: Sequence[tuple[UnitLayer, Reach]]) -> list[UnitLayer]:
    """The layers, knowing whether their units can be removed, and why not."""
    tried = why_uncuttable(flow, {layer.name: reached.slices for layer, reached in found if reached.alone})
    reasons = [tried.get(layer.name, reached.uncut) for layer, reached in found]
    return [
        replace(layer, removable=reached.alone and not reason, reason=reason)
        for (layer, reached), reason in zip(found, reasons, strict=True)
    ]


@register_unit_kind("inner_filters")
def inner_filters(flow: Flow) -> list[UnitLayer]:
    """Output channels of convolutions whose removal makes tensors smaller."""
    return [replace(layer, kind="inner_filters") for layer in filters(flow) if layer.removable]


@register_unit_kind("neurons")
def neurons(flow: Flow) -> list[UnitLayer]:
    """Hidden units of MLPs: linear (or pointwise convolution), elementwise, linear."""
    found = [(layer, reached) for layer, reached in _linears(flow, "neurons") if _is_read(reached)]
    found += [(layer, reached) for layer, reached in _pointwise(flow) if _is_hidden(flow, layer, reached)]
    gates: set[str] = set()  # the two layers of a gated MLP make the same units
    layers = []
    for layer, reached in found:
        if layer.name not in gates:
            gates |= reached.slices.writers
            layers.append((layer, reached))
    return in_execution_order(flow, _judged(flow, layers))


def _is_read(reached: Reach) -> bool:
    return bool(reached.consumers) and not reached.blocked


def _pointwise(flow: Flow) -> Iterator[tuple[UnitLayer, Reach]]:
    """Convolutions that work pixel by pixel, as linear layers do."""
    for name, values in layer_calls(flow, nn.Conv2d).items():
        if _is_pointwise(flow.modules[name]):
            tap, starts = tap_of(flow, name, values)
            units: int = flow.modules[name].out_channels  # type: ignore[assignment]
            yield UnitLayer(name, "neurons", units, tap), reach(flow, starts, dim=1)


def _is_hidden(flow: Flow, layer: UnitLayer, reached: Reach) -> bool:
    """Whether pointwise convolutions alone read the units, pixel by pixel, and they are more than before.

    MLPs widen, squeeze-and-excite and bottlenecks do not.
    """
    alike = all(
        _is_pointwise(flow.modules[each.module]) and each.unit == tuple(range(layer.units))
        for each in reached.consumers
    )
    values = [*flow.module_outputs[layer.tap], *reached.slices.readers.values()]
    alike = alike and len({flow.shape(value)[2:] for value in values}) == 1
    incoming: int = flow.modules[layer.name].in_channels  # type: ignore[assignment]
    return _is_read(reached) and not reached.depthwise and alike and layer.units > incoming


def _is_pointwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1


@register_unit_kind("heads")
def heads(flow: Flow) -> list[UnitLayer]:
    """Attention heads."""
    layers = [
        UnitLayer(found.name, "heads", found.heads, found.projection, "input", dim=-1, width=found.head_dim)
        for found in find_attention(flow)
    ]
    mixed = [found.name for found in find_attention(flow) if found.mixed]
    reasons = why_unshrinkable(flow, [layer for layer in layers if layer.name not in mixed])
    reasons |= dict.fromkeys(mixed, "heads read one another")
    return [
        replace(layer, removable=layer.name not in reasons, reason=reasons.get(layer.name, ""))
        for layer in layers
    ]


@register_unit_kind("neurons+heads")
def neurons_and_heads(flow: Flow) -> list[UnitLayer]:
    """Hidden units of MLPs and attention heads together."""
    return in_execution_order(flow, [*neurons(flow), *heads(flow)])


@register_unit_kind("linear_outputs")
def linear_outputs(flow: Flow) -> list[UnitLayer]:
    """Outputs of every linear layer outside attention."""
    return _judged(flow, list(_linears(flow, "linear_outputs")))


def _linears(flow: Flow, kind: str) -> Iterator[tuple[UnitLayer, Reach]]:
    """The linear layers outside attention that are no classifier, and who reads them."""
    attention = find_attention(flow)
    projections = {found.projection for found in attention}
    inside = tuple(f"{found.name}." for found in attention if found.name)
    for name, values in layer_calls(flow, nn.Linear).items():
        if name in projections or name.startswith(inside) or is_classifier(flow, values):
            continue
        units: int = flow.modules[name].out_features  # type: ignore[assignment]
        yield UnitLayer(name, kind, units, name, dim=-1), reach(flow, values, dim=-1, past_depthwise=True)
