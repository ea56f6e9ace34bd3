"""Criteria that need only a forward: how strongly a unit is active, and how much that varies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria.batches import (
    batches,
    check,
    independent_size,
    right_logits,
    untouched,
)
from xaiprune.attribution.criteria.moments import (
    Moments,
    links_of,
    moments_at,
    read_at,
)
from xaiprune.attribution.criteria.taps import by_unit, captured, require_all, without_padding
from xaiprune.attribution.criteria.types import Scores, SelectsLogits
from xaiprune.attribution.targets import Labels
from xaiprune.forward import Inputs, run
from xaiprune.registry import register_criterion
from xaiprune.units import UnitLayer


@register_criterion("activation")
def activation(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Scores:
    """Mean of |activation| over images, positions and a unit's channels, after its BatchNorm.

    The padding of texts does not count.
    """
    totals = {unit.name: torch.zeros(unit.units, dtype=torch.float64) for unit in units}
    values = dict.fromkeys(totals, 0)  # of each unit
    with untouched(model), torch.no_grad():
        check(images, labels, batch_size)
        batch_size = independent_size(model, images, batch_size)
        for part, part_labels in batches(model, images, labels, batch_size):
            with captured(model, units, keep=torch.abs) as store:
                right_logits(
                    run(model, part), part_labels, task
                )  # labels are checked as by every other criterion
            require_all(store, units)
            for unit in units:
                for tensor in store[unit.name]:
                    tensor = without_padding(tensor, part)
                    sums = by_unit(tensor, unit, 1).sum((0, 1, 3), dtype=torch.float64)  # whoever's they are
                    totals[unit.name] += sums.cpu()
                    values[unit.name] += tensor.numel() // unit.units
    return {name: total / values[name] for name, total in totals.items()}


@register_criterion("variance")
def variance(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Scores:
    """Variance of what the consumers read of a unit, over images and positions.

    The score of Variance-Based Pruning (Berisha et al. 2025, arXiv 2507.12988), which measures it after the
    nonlinearity: a unit that is nearly constant there can be replaced by its mean, which its consumers'
    biases take (``prune.compensate=mean``). So it is read where the consumers read it, after BatchNorm,
    nonlinearity and pooling: 1/n sum (x - mean x)^2 over the n values of all images and pixels or tokens. The
    channels of a head are summed, since each has its own mean. Several consumers (DenseNet) are averaged.
    Where not all consumers are known (residual streams, depthwise convolutions), it is read at the unit
    itself, after its BatchNorm.
    """
    links = links_of(model, images, labels, units, task, batch_size)
    read = {unit.name: read_at(model, links, unit) for unit in units}
    places = list(dict.fromkeys(place for places in read.values() for place, _ in places))
    moments = moments_at(model, places, images, labels, task, batch_size)
    scores = {}
    for unit in units:
        parts = [_variance_of(unit, moments[place], owners) for place, owners in read[unit.name]]
        scores[unit.name] = torch.stack(parts).mean(0)
    return scores


def _variance_of(unit: UnitLayer, moments: Moments, owners: Sequence[int]) -> Tensor:
    """The variance of each unit at one place, (units,).

    Args:
        unit: Its unit layer.
        moments: Of the place's channels.
        owners: The unit of each of these, -1 for those of other layers. A linear layer that reads a flattened
            map has one input for each position of a channel; these are values of the same channel.
    """
    counts = [0] * unit.units
    for owner in owners:
        counts[owner] += owner >= 0
    seen = [0] * unit.units
    inputs, channels = [], []  # input of the place -> channel of the unit layer
    for position, owner in enumerate(owners):
        if owner >= 0:
            each = max(1, counts[owner] // unit.width)
            inputs.append(position)
            channels.append(owner * unit.width + min(seen[owner] // each, unit.width - 1))
            seen[owner] += 1
    index = torch.tensor(channels)
    size = unit.units * unit.width
    mean, spread = moments.mean[inputs], moments.spread[inputs]
    of = torch.bincount(index, minlength=size).clamp_min(1).double()
    middle = torch.zeros(size, dtype=torch.float64).index_add_(0, index, mean) / of
    total = spread + moments.count * (mean - middle[index]).square()
    total = torch.zeros(size, dtype=torch.float64).index_add_(0, index, total)
    return (total / (of * moments.count)).reshape(unit.units, unit.width).sum(1)
