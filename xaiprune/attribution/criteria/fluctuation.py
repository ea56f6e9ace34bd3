"""FLAP's score: how much what a unit sends on varies around its mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria.moments import has_consumers, links_of, moments_at, read_at, sum_by_unit
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
    read = {unit.name: read_at(model, links, unit) for unit in units}
    places = list(dict.fromkeys(place for parts in read.values() for place, _ in parts))
    moments = moments_at(model, places, images, labels, task, batch_size)
    scores = {}
    for unit in units:
        scores[unit.name] = torch.zeros(unit.units, dtype=torch.float64)
        for place, owners in read[unit.name]:
            of = moments[place]
            lost = of.spread / max(1, of.count - 1)
            if has_consumers(links, unit):
                lost = lost * _squares(model, links, place.module)
            scores[unit.name] += sum_by_unit(lost, owners, unit.units)
    return scores


def _squares(model: nn.Module, links: Links, consumer: str) -> Tensor:
    """Sum of squared weights over outputs and kernel positions for each input of a consumer, (inputs,)."""
    weight = folded_weight(model, consumer, links.norms.get(consumer))
    return weight.square().sum((0, 2))
