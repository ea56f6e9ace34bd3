"""Factors of scores by depth group or unit layer: valid names, and the group of each unit layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from xaiprune.attribution import Composite
from xaiprune.attribution.lrp import DepthGroup, LayerInfo
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.units import UnitLayer


def check_scale(key: str, names: Iterable[str], units: Sequence[UnitLayer]) -> None:
    """Refuse factors of what is neither a depth group nor a unit layer.

    Args:
        key: Named in the error: ``space.scale``.
        names: What has a factor.
        units: The network's unit layers.

    Raises:
        XaipruneError: Names the first, and what comes closest.
    """
    known = (*get_args(DepthGroup), *(unit.name for unit in units))
    for name in names:
        if name not in known:
            close = did_you_mean(name, known) or f"; unit layers are {', '.join(known[4:8])} and so on"
            raise XaipruneError(f"{key}.{name}: neither a depth group nor a unit layer has that name{close}")


def unit_groups(
    composite: Composite, units: Sequence[UnitLayer], layers: Sequence[LayerInfo]
) -> dict[str, DepthGroup]:
    """The depth group of each unit layer: that of the layer that makes the units, or (heads) reads them.

    Args:
        composite: Says where the groups begin.
        units: Unit layers.
        layers: The network's layers.

    Raises:
        XaipruneError: A unit layer belongs to none of the layers.
    """
    known = {layer.name: layer for layer in layers}
    groups: dict[str, DepthGroup] = {}
    for unit in units:
        layer = known.get(unit.name) or known.get(unit.tap)
        if layer is None:
            raise XaipruneError(
                f"unit layer {unit.name} belongs to no layer with a rule, so its depth is unknown; "
                "leave it out (units.exclude) or leave out space.scale"
            )
        groups[unit.name] = composite.group_of(layer)
    return groups
