"""The unit kinds that xaiprune brings along: how the units of each are found in a traced network.

An entry is a function of the traced forward that returns the unit layers in execution order. The first line
of its docstring is what people read about the kind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import nn

from xaiprune.registry import register_unit_kind
from xaiprune.units.attention import find_attention
from xaiprune.units.calls import in_execution_order, is_classifier, layer_calls, read_by, tap_of
from xaiprune.units.cutting import why_uncuttable
from xaiprune.units.flow import Flow
from xaiprune.units.heads import why_unshrinkable
from xaiprune.units.layer import UnitLayer
from xaiprune.units.operations import MOVEMENT, ZERO_KEEPING
from xaiprune.units.reach import Reach, reach
from xaiprune.units.weights import weight_dim, weight_of


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
    found = [*_gated(flow), *found]
    made: set[str] = set()  # what a gated MLP reads, two layers make, each of which looks like an MLP's
    layers = []
    for layer, reached in found:
        if layer.name not in made:
            made |= reached.slices.writers
            layers.append((layer, reached))
    return in_execution_order(flow, _judged(flow, layers))


def _gated(flow: Flow) -> Iterator[tuple[UnitLayer, Reach]]:
    """Gated MLPs: a linear layer reads the product of two others' outputs, or of two halves of one's.

    Only the product is the unit, so it is read where that linear layer reads it.
    """
    for name in _outside_attention(flow):
        values = read_by(flow, name)
        if not all(_is_product(flow, value) for value in values):
            continue
        reached = reach(flow, values, dim=-1)
        slices, units = reached.slices, flow.shape(values[0])[-1]
        makers = [maker for maker in layer_calls(flow, nn.Linear) if maker in slices.writers]
        rows = [slices.units[f"{maker}.weight", weight_dim(flow.modules[maker], 0)] for maker in makers]
        if _is_read(reached) and len(makers) == len(slices.writers) and sum(map(len, rows)) > units:
            yield UnitLayer(makers[0], "neurons", units, name, "input", dim=-1), reached


def _is_product(flow: Flow, value: int) -> bool:
    """Whether a value is a product of two others, maybe reshaped or dropped out."""
    maker = flow.makers.get(value)
    while maker is not None and maker.plain in ZERO_KEEPING | MOVEMENT and len(maker.inputs) == 1:
        maker = flow.makers.get(maker.inputs[0])
    return maker is not None and maker.plain == "mul" and len(set(maker.inputs)) == 2


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


def _outside_attention(flow: Flow) -> dict[str, list[int]]:
    """The linear layers that are no part of an attention, and the values that each makes."""
    attention = find_attention(flow)
    projections = {found.projection for found in attention}
    inside = tuple(f"{found.name}." for found in attention if found.name)
    calls = layer_calls(flow, nn.Linear).items()
    return {name: made for name, made in calls if name not in projections and not name.startswith(inside)}


def _linears(flow: Flow, kind: str) -> Iterator[tuple[UnitLayer, Reach]]:
    """The linear layers outside attention that are no classifier, and who reads them."""
    for name, values in _outside_attention(flow).items():
        if is_classifier(flow, values):
            continue
        units = len(weight_of(flow.modules[name]))
        yield UnitLayer(name, kind, units, name, dim=-1), reach(flow, values, dim=-1, past_depthwise=True)
