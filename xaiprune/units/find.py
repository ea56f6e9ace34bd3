"""Finds a network's unit layers, from one traced forward."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs
from xaiprune.registry import UNIT_KINDS
from xaiprune.units.auto import AUTO, alternatives, auto_kind
from xaiprune.units.calls import in_execution_order
from xaiprune.units.flow import default_example, trace
from xaiprune.units.layer import UnitLayer


def find_units(
    model: nn.Module,
    kind: str,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    example: Inputs | None = None,
) -> list[UnitLayer]:
    """Find the unit layers of a network, in execution order.

    Args:
        model: Any classifier whose forward is made of PyTorch functions. Nothing of it changes.
        kind: A registered unit kind: ``filters`` (output channels of every convolution), ``inner_filters``
            (only those whose removal makes tensors smaller), ``neurons`` (hidden units of MLPs), ``heads``
            (attention heads), ``neurons+heads``, ``linear_outputs`` (outputs of every linear layer outside
            attention), one of your own (`xaiprune.registry.register_unit_kind`), several joined by ``+``, or
            ``auto`` (`auto_kind`).
            The classifier is never among those of xaiprune.
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
    example = default_example(model) if example is None else example
    if kind == AUTO:
        kind = auto_kind(model, example)
    finders = [UNIT_KINDS.find(part, "units") for part in UNIT_KINDS.parts(kind)]
    flow = trace(model, example)
    layers = [layer for find in finders for layer in find(flow)]
    if len(finders) > 1:  # a layer that several kinds find is of the first
        layers = in_execution_order(flow, {layer.name: layer for layer in reversed(layers)}.values())
    if not layers:
        raise XaipruneError(f"{type(model).__name__} has no {kind}; {alternatives(flow)}")
    return _select(layers, include, exclude)


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
