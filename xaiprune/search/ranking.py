"""From proposals to the scores that units are ranked by: relevance, aggregation, a factor for each layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from xaiprune.attribute import Composite, Relevance, Scores, aggregate, attribute
from xaiprune.attribute.criteria.registry import SelectsLogits
from xaiprune.attribute.lrp.composite import DepthGroup, LayerInfo
from xaiprune.config import did_you_mean
from xaiprune.errors import XaipruneError
from xaiprune.search.proposal import Proposal, Source
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

    (One for each number of references that they ask for, and one backward for each `Proposal.source`.)

    Args:
        model: In eval mode; left as it was.
        images: (N, 3, H, W) reference images, normalised.
        labels: (N,) index of the right class.
        units: Where relevance is read.
        proposals: Give composite, start and number of references.
        task: Picks the task's logits.
        batch_size: Images in one forward, at most.

    Raises:
        XaipruneError: A composite or the network cannot be used, or a factor is of no unit layer.
    """
    for proposal in proposals:
        check_scale("scale", proposal.scale, units)
    found: dict[Source, Relevance] = {}
    sources = list(dict.fromkeys(proposal.source for proposal in proposals))
    for references in dict.fromkeys(asked for _, _, asked in sources):
        chosen = first_of_each_class(labels, references)
        same = [source for source in sources if source[2] == references]
        relevances = attribute(
            model,
            images[chosen.to(images.device)],
            labels[chosen.to(labels.device)],
            units,
            [composite for composite, _, _ in same],
            task=task,
            start=[start for _, start, _ in same],
            batch_size=batch_size,
        )
        found |= dict(zip(same, relevances, strict=True))
    return [found[proposal.source] for proposal in proposals]


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
    """One score a unit: relevance as the proposal aggregates it, times the factors of layer and depth group.

    Args:
        relevance: Under the proposal's composite.
        proposal: Gives aggregation and scale.
        units: What relevance was read of.
        layers: The network's layers (`trace_layers`), which know how deep they lie.

    Returns:
        Unit layer -> (units,) float64; higher is more relevant. Factors change no order within a layer.

    Raises:
        XaipruneError: Relevance is not finite, a factor is of no unit layer, or one is of a depth group and a
            unit layer belongs to no layer.
    """
    scores, factors = aggregate(relevance, proposal.aggregation), proposal.scale
    check_scale("scale", factors, units)
    if any(name in get_args(DepthGroup) for name in factors):
        groups = unit_groups(proposal.composite, units, layers)
        scores = {name: score * factors.get(groups[name], 1.0) for name, score in scores.items()}
    return {name: score * factors.get(name, 1.0) for name, score in scores.items()}


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
