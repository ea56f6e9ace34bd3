"""The recipe that is used where none is asked for, by what a network is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from xaiprune.recipe.presets import PRESETS
from xaiprune.recipe.recipe import Recipe
from xaiprune.units import UnitLayer

AUTO = "auto"


def auto_recipe(model: nn.Module, units: Sequence[UnitLayer]) -> Recipe:
    """The recipe that keeps most without a search, as measured for each kind of network.

    Measured on ImageNet networks with references of 150 classes (docs/results): of a transformer's neurons,
    of the filters of a network with depthwise convolutions, and of those of one without.

    Args:
        model: The network.
        units: What is ranked.

    Returns:
        A recipe that sets everything but the rate.
    """
    filters = any(layer.kind in ("filters", "inner_filters") for layer in units)
    recipe = replace(
        PRESETS["taylor"],
        scope="global",
        order="score",
        compensate="linear",
        # Layer by layer is better where errors of one layer can be made up for in the next, which depthwise
        # convolutions and residual streams of tokens leave little room for.
        sequential=filters and not _has_depthwise(model),
        rounds=1,
    )
    return recipe.renamed(AUTO)


def _has_depthwise(model: nn.Module) -> bool:
    return any(isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1 for m in model.modules())
