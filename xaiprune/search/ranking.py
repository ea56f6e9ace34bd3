"""From relevance to the scores that units are ranked by: aggregation, and a factor for each depth group."""

from __future__ import annotations

from collections.abc import Sequence

from xaiprune.attribute import Composite, Relevance, Scores, aggregate
from xaiprune.attribute.lrp.composite import DepthGroup, LayerInfo
from xaiprune.errors import XaipruneError
from xaiprune.search.proposal import Proposal
from xaiprune.units import UnitLayer


def scores_of(
    relevance: Relevance, proposal: Proposal, units: Sequence[UnitLayer], layers: Sequence[LayerInfo]
) -> Scores:
    """One score a unit: relevance as the proposal aggregates it, times the factor of the layer's depth group.

    Args:
        relevance: Under the proposal's composite.
        proposal: Gives aggregation and scale.
        units: What relevance was read of.
        layers: The network's layers (`trace_layers`), which know how deep they lie.

    Returns:
        Unit layer -> (units,) float64; higher is more relevant. Factors change no order within a layer.

    Raises:
        XaipruneError: Relevance is not finite, or a unit layer belongs to no layer.
    """
    scores = aggregate(relevance, proposal.aggregation)
    if not proposal.scale:
        return scores
    groups = unit_groups(proposal.composite, units, layers)
    return {name: score * proposal.scale.get(groups[name], 1.0) for name, score in scores.items()}


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
