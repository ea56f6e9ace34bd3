"""Finds a network's unit layers, from one traced forward."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.units.flow import Flow, default_example, trace
from xaiprune.units.heads import Attention, find_attention
from xaiprune.units.layer import UnitLayer
from xaiprune.units.reach import Reach, reach

KINDS = ("filters", "inner_filters", "neurons", "heads", "neurons+heads", "linear_outputs")


def find_units(
    model: nn.Module,
    kind: str,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    example: Tensor | None = None,
) -> list[UnitLayer]:
    """Find the unit layers of a network, in execution order.

    Args:
        model: Any classifier whose forward is made of PyTorch functions. Nothing of it changes.
        kind: ``filters`` (output channels of every convolution), ``inner_filters`` (only those whose
            removal makes tensors smaller), ``neurons`` (hidden units of MLPs), ``heads`` (attention
            heads), ``neurons+heads``, or ``linear_outputs`` (outputs of every linear layer outside
            attention). The classifier is never among them.
        include: Name patterns (``layer3.*``); if given, only matching layers are kept.
        exclude: Name patterns of layers to leave out.
        example: One input (1, 3, H, W); zeros of the network's default size if None.

    Raises:
        XaipruneError: If the kind is unknown, the network has no such units, or a pattern matches nothing.

    Example:
        >>> import timm
        >>> model = timm.create_model("resnet18").eval()
        >>> sum(layer.units for layer in find_units(model, "filters"))
        4800
    """
    if kind not in KINDS:
        raise XaipruneError(f"units={kind} is unknown; choose one of {', '.join(KINDS)}")
    flow = trace(model, default_example(model) if example is None else example)
    layers = unit_layers(flow, model, kind)
    if not layers:
        raise XaipruneError(f"{type(model).__name__} has no {kind}; {_alternatives(flow, model)}")
    return _select(layers, include, exclude)


def unit_layers(flow: Flow, model: nn.Module, kind: str) -> list[UnitLayer]:
    """The unit layers of a kind in a traced network (empty if it has none), in execution order."""
    if kind == "neurons+heads":
        both = unit_layers(flow, model, "neurons") + unit_layers(flow, model, "heads")
        taps = _first_calls(flow)
        return sorted(both, key=lambda layer: taps[layer.tap] if layer.tap in taps else taps[layer.name])
    attention = find_attention(flow, model)
    if kind == "heads":
        return [_head_layer(found) for found in attention]
    if kind in ("filters", "inner_filters"):
        return _filters(flow, model, inner=kind == "inner_filters")
    return _linears(flow, model, attention, neurons=kind == "neurons")


def _first_calls(flow: Flow) -> dict[str, int]:
    """Module name -> position of its first operation."""
    first: dict[str, int] = {}
    for position, op in enumerate(flow.ops):
        first.setdefault(op.module, position)
    return first


def _head_layer(attention: Attention) -> UnitLayer:
    return UnitLayer(
        attention.name,
        "heads",
        attention.heads,
        attention.projection,
        "input",
        -1,
        attention.head_dim,
        removable=not attention.mixed,
    )


def layer_calls(
    flow: Flow, modules: dict[str, nn.Module], kinds: type | tuple[type, ...]
) -> dict[str, list[int]]:
    """Layers of the given types that ran, in execution order -> the values that each of their calls made."""
    names = {"conv2d", "linear"}
    calls: dict[str, list[int]] = {}
    for op in flow.ops:
        if op.name in names and isinstance(modules.get(op.module), kinds):
            calls.setdefault(op.module, []).extend(op.outputs)
    return calls


def classifiers(flow: Flow, modules: dict[str, nn.Module]) -> list[str]:
    """The layers whose outputs reach the network's with no other layer between."""
    calls = layer_calls(flow, modules, (nn.Linear, nn.Conv2d))
    return [name for name, values in calls.items() if _is_classifier(flow, modules, values)]


def _is_classifier(flow: Flow, modules: dict[str, nn.Module], values: list[int]) -> bool:
    """Whether the values reach the network's output with no convolution or linear layer between."""
    frontier, seen = list(values), set(values)
    while frontier:
        value = frontier.pop()
        if value in flow.outputs:
            return True
        for op in flow.consumers.get(value, []):
            if isinstance(modules.get(op.module), (nn.Linear, nn.Conv2d, nn.MultiheadAttention)):
                continue
            frontier += [made for made in op.outputs if made not in seen]
            seen.update(op.outputs)
    return False


def tap_of(flow: Flow, modules: dict[str, nn.Module], name: str, values: list[int]) -> tuple[str, list[int]]:
    """The BatchNorm that alone reads a convolution's output, else the convolution; and its output values."""
    taps: set[str] = set()
    for value in values:
        readers = flow.consumers.get(value, [])
        taps |= {op.module if op.name == "batch_norm" and len(readers) == 1 else name for op in readers}
    if taps and name not in taps and len(taps) == 1:
        tap = taps.pop()
        made = set(flow.module_outputs.get(tap, []))
        if isinstance(modules.get(tap), nn.modules.batchnorm._BatchNorm) and made:
            return tap, sorted(made)
    return name, values


def _filters(flow: Flow, model: nn.Module, inner: bool) -> list[UnitLayer]:
    modules = dict(model.named_modules())
    layers, reaches = [], {}
    for name, values in layer_calls(flow, modules, nn.Conv2d).items():
        tap, starts = tap_of(flow, modules, name, values)
        reaches[name] = reach(flow, model, starts, dim=1)
        if not _is_classifier(flow, modules, values):
            layers.append(UnitLayer(name, "filters", modules[name].out_channels, tap))  # type: ignore[arg-type]
    carriers = _depthwise_sources(reaches)
    found = []
    for layer in layers:
        groups = modules[layer.name].groups
        shrinks = reaches[layer.name].alone
        if groups > 1:  # a depthwise channel can go if the channel that it carries on serves nothing else
            shrinks = shrinks and groups == layer.units and carriers.get(layer.name, False)
        if shrinks or not inner:
            found.append(replace(layer, removable=shrinks, kind="inner_filters" if inner else "filters"))
    return found


def _depthwise_sources(reaches: dict[str, Reach]) -> dict[str, bool]:
    """Depthwise convolution -> whether it alone reads the channels of one dense convolution."""
    alone: dict[str, bool] = {}
    for name, found in reaches.items():  # execution order, so sources come first
        if len(found.depthwise) == 1 and not found.consumers and not found.blocked and not found.mixed:
            carrier = found.depthwise[0]
            source_ok = alone.get(name, True) if _carries(reaches, name) else True
            alone[carrier] = alone.get(carrier, True) and source_ok
        else:
            for carrier in found.depthwise:
                alone[carrier] = False
    return alone


def _carries(reaches: dict[str, Reach], name: str) -> bool:
    return any(name in found.depthwise for found in reaches.values())


def _linears(flow: Flow, model: nn.Module, attention: list[Attention], neurons: bool) -> list[UnitLayer]:
    modules = dict(model.named_modules())
    layers = []
    for name, values in layer_calls(flow, modules, nn.Linear).items():
        if any(name == found.projection or _inside(name, found.name) for found in attention):
            continue
        if _is_classifier(flow, modules, values):
            continue
        found = reach(flow, model, values, dim=-1)
        hidden = bool(found.consumers) and not found.blocked
        if hidden or not neurons:
            units = modules[name].out_features
            kind = "neurons" if neurons else "linear_outputs"
            layers.append(UnitLayer(name, kind, units, name, "output", -1, removable=found.alone))  # type: ignore[arg-type]
    return layers


def _inside(name: str, holder: str) -> bool:
    return bool(holder) and name.startswith(f"{holder}.")


def _alternatives(flow: Flow, model: nn.Module) -> str:
    have = [kind for kind in KINDS if kind != "neurons+heads" and unit_layers(flow, model, kind)]
    return f"it has {', '.join(have)} (units=...)" if have else "nor any other units that xaiprune knows"


def _select(layers: list[UnitLayer], include: Sequence[str], exclude: Sequence[str]) -> list[UnitLayer]:
    for key, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns:
            if not any(fnmatchcase(layer.name, pattern) for layer in layers):
                some = ", ".join(layer.name for layer in layers[:3])
                raise XaipruneError(
                    f"units.{key} pattern {pattern!r} matches no unit layer; names are like {some}"
                )
    kept = [
        layer
        for layer in layers
        if (not include or _matches(layer.name, include)) and not _matches(layer.name, exclude)
    ]
    if not kept:
        raise XaipruneError("units.include and units.exclude leave no unit layer; loosen one of them")
    return kept


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
