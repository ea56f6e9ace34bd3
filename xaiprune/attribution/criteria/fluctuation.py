"""FLAP's score: how much what a unit sends on varies around its mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from xaiprune.attribution.criteria.moments import has_consumers, input_of, links_of, moments_at
from xaiprune.attribution.criteria.types import Scores, SelectsLogits
from xaiprune.attribution.criteria.weights import folded_weight
from xaiprune.attribution.targets import Labels
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs
from xaiprune.registry import register_criterion
from xaiprune.units import UnitLayer


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

    Raises:
        XaipruneError: Not all consumers of a unit layer are known.
    """
    links = links_of(model, images, labels, units, task, batch_size)
    for unit in units:
        if not has_consumers(links, unit):
            raise XaipruneError(
                f"unit layer {unit.name}: fluctuation is undefined, its consumers are not known; exclude the "
                "layer or choose another criterion"
            )
    names = dict.fromkeys(c.module for unit in units for c in links.reaches[unit.name].consumers)
    places = {name: input_of(model, name) for name in names}
    moments = moments_at(model, list(places.values()), images, labels, task, batch_size)
    scores = {}
    for unit in units:
        scores[unit.name] = torch.zeros(unit.units, dtype=torch.float64)
        for consumer in links.reaches[unit.name].consumers:
            of = moments[places[consumer.module]]
            weight = folded_weight(model, consumer.module, links.norms.get(consumer.module))
            lost = of.spread / max(1, of.count - 1) * weight.square().sum((0, 2))
            owners = torch.tensor(consumer.unit)
            scores[unit.name].index_add_(0, owners[owners >= 0], lost[owners >= 0])
    return scores
