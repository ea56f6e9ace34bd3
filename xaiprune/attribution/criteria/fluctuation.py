"""FLAP's score: how much what a unit sends on varies around its mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria.moments import Place, has_consumers, input_of, links_of, moments_at
from xaiprune.attribution.criteria.types import Scores, SelectsLogits
from xaiprune.attribution.criteria.weights import folded_weight
from xaiprune.attribution.targets import Labels
from xaiprune.forward import Inputs
from xaiprune.registry import register_criterion
from xaiprune.units import Links, UnitLayer


@register_criterion("fluctuation")
def fluctuation(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Scores:
    """Variance of what the consumers read of a unit, times the squared norm of the weights that read it.

    FLAP (An et al. 2023, arXiv 2312.11983, equation 5): summed over consumers, their inputs j that are the
    unit's, outputs o and kernel positions k,

        1 / (n - 1) sum (x_j - mean x_j)^2  W_ojk^2

    over the n values of all images and pixels or tokens: what is lost of the consumer's output once the mean
    has moved into its bias (``prune.compensate=mean``).

    Where not all consumers are known (residual streams, depthwise convolutions), it is the variance at the
    unit itself, after its BatchNorm, as if each of its channels were read with the weight 1.
    """
    links = links_of(model, images, labels, units, task, batch_size)
    read: dict[str, list[tuple[Place, Sequence[int], Tensor | None]]] = {}
    for unit in units:
        if has_consumers(links, unit):
            read[unit.name] = [
                (input_of(model, each.module), each.unit, _squares(model, links, each.module))
                for each in links.reaches[unit.name].consumers
            ]
        else:
            own = [channel // unit.width for channel in range(unit.units * unit.width)]
            read[unit.name] = [(Place(unit.tap, unit.where, unit.dim), own, None)]
    places = list(dict.fromkeys(place for parts in read.values() for place, _, _ in parts))
    moments = moments_at(model, places, images, labels, task, batch_size)
    scores = {}
    for unit in units:
        scores[unit.name] = torch.zeros(unit.units, dtype=torch.float64)
        for place, owner, squares in read[unit.name]:
            of, owners = moments[place], torch.tensor(owner)
            lost = of.spread / max(1, of.count - 1)
            lost = lost if squares is None else lost * squares
            scores[unit.name].index_add_(0, owners[owners >= 0], lost[owners >= 0])
    return scores


def _squares(model: nn.Module, links: Links, consumer: str) -> Tensor:
    """Sum of squared weights over outputs and kernel positions for each input of a consumer, (inputs,)."""
    weight = folded_weight(model, consumer, links.norms.get(consumer))
    return weight.square().sum((0, 2))
