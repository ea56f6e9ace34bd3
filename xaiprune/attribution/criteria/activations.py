"""The criterion that needs only a forward: how strongly a unit is active."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria.batches import batches, right_logits
from xaiprune.attribution.criteria.taps import captured, per_unit, require_all
from xaiprune.attribution.criteria.types import Scores, SelectsLogits
from xaiprune.registry import register_criterion
from xaiprune.units import UnitLayer, evaluating


@register_criterion("activation")
def activation(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Scores:
    """Mean of |activation| over images, positions and a unit's channels, after its BatchNorm."""
    scores = {unit.name: torch.zeros(unit.units, dtype=torch.float64) for unit in units}
    with evaluating(model), torch.no_grad():
        for part, part_labels in batches(model, images, labels, batch_size):
            with captured(model, units, keep=torch.abs) as store:
                right_logits(model(part), part_labels, task)  # labels are checked as by every other criterion
            require_all(store, units)
            for unit in units:
                for tensor in store[unit.name]:
                    positions = tensor.numel() / (unit.units * len(part) * len(store[unit.name]))
                    sums = per_unit(tensor, unit, len(part)).sum(0, dtype=torch.float64)
                    scores[unit.name] += sums.cpu() / (positions * len(images))
    return scores
