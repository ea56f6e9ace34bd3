"""Relevance under several recipes: one forward for all of them, one backward for each that differs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xaiprune.attribution import Relevance, SelectsLogits, attribute
from xaiprune.forward import Inputs, part_of
from xaiprune.recipe.recipe import AttributionKey, Recipe
from xaiprune.recipe.scale import check_scale
from xaiprune.units import UnitLayer, device_of


def relevances_of(
    model: nn.Module,
    images: Inputs,
    labels: Tensor,
    units: Sequence[UnitLayer],
    recipes: Sequence[Recipe],
    *,
    task: SelectsLogits | None = None,
    batch_size: int = 32,
) -> list[Relevance]:
    """Relevance of the units under each recipe.

    There is one forward for each number of references that recipes ask for, and one backward for each
    `Recipe.attribution_key`.

    Args:
        model: In eval mode; left as it was.
        images: (N, 3, H, W) reference images, normalised, or texts; on the model's device.
        labels: (N,) index of the right class.
        units: Where relevance is read.
        recipes: Give composite, start and number of references.
        task: Picks the task's logits.
        batch_size: Images in one forward, at most.

    Raises:
        XaipruneError: A composite or the network cannot be used, or a factor belongs to no unit layer.
    """
    for recipe in recipes:
        check_scale("scale", recipe.scale, units)
    found: dict[AttributionKey, Relevance] = {}
    keys = list(dict.fromkeys(recipe.attribution_key for recipe in recipes))
    for references in dict.fromkeys(asked for _, _, asked in keys):
        chosen = first_of_each_class(labels, references)
        same = [key for key in keys if key[2] == references]
        relevances = attribute(
            model,
            part_of(images, chosen.to(device_of(model))),
            labels[chosen.to(labels.device)],
            units,
            [composite for composite, _, _ in same],
            task=task,
            start=[start for _, start, _ in same],
            batch_size=batch_size,
        )
        found |= dict(zip(same, relevances, strict=True))
    return [found[recipe.attribution_key] for recipe in recipes]


def first_of_each_class(labels: Tensor, count: int | None) -> Tensor:
    """Positions of the first ``count`` images of each class, in their order; None: of all."""
    labels = labels.cpu()
    if count is None:
        return torch.arange(len(labels))
    own = [(labels == label).nonzero()[:count, 0] for label in labels.unique()]
    return torch.cat(own).sort().values
