"""From proposals to the scores that units are ranked by: relevance, aggregation, a factor for each group."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xaiprune.attribute import Composite, Relevance, Scores, aggregate, attribute
from xaiprune.attribute.criteria.registry import SelectsLogits
from xaiprune.attribute.lrp.composite import DepthGroup, LayerInfo
from xaiprune.errors import XaipruneError
from xaiprune.search.proposal import Proposal
from xaiprune.units import UnitLayer


def relevances_of(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    units: Sequence[UnitLayer],
    proposals: Sequence[Proposal],
    *,
    task: SelectsLogits | None = None,
    batch_size: int = 32,
) -> list[Relevance]:
    """Relevance of the units under each proposal, one forward for all of them.

    (One for each number of references that they ask for.)

    Args:
        model: In eval mode; left as it was.
        images: (N, 3, H, W) reference images, normalised.
        labels: (N,) index of the right class.
        units: Where relevance is read.
        proposals: Give composite, start and number of references.
        task: Picks the task's logits.
        batch_size: Images in one forward, at most.

    Raises:
        XaipruneError: A composite or the network cannot be used.
    """
    found: dict[int, Relevance] = {}
    for references in dict.fromkeys(proposal.references for proposal in proposals):
        chosen = first_of_each_class(labels, references)
        places = [i for i, proposal in enumerate(proposals) if proposal.references == references]
        relevances = attribute(
            model,
            images[chosen.to(images.device)],
            labels[chosen.to(labels.device)],
            units,
            [proposals[i].composite for i in places],
            task=task,
            start=[proposals[i].start for i in places],
            batch_size=batch_size,
        )
        found |= dict(zip(places, relevances, strict=True))
    return [found[i] for i in range(len(proposals))]


def first_of_each_class(labels: Tensor, count: int | None) -> Tensor:
    """Positions of the first ``count`` images of each class, in their order; None: of all."""
    labels = labels.cpu()
    if count is None:
        return torch.arange(len(labels))
    own = [(labels == label).nonzero()[:count, 0] for label in labels.unique()]
    return torch.cat(own).sort().values


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
