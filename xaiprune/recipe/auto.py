"""The recipe that is used where none is asked for, by what a network is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from xaiprune.attribution import Aggregation
from xaiprune.config import AUTO_RECIPE
from xaiprune.forward import Inputs, is_text
from xaiprune.pruning import has_batchnorm, inputs_of, why_no_joint_order
from xaiprune.recipe.presets import PRESETS
from xaiprune.recipe.recipe import Recipe
from xaiprune.units import UnitLayer, default_example

AUTO = AUTO_RECIPE


def auto_recipe(model: nn.Module, units: Sequence[UnitLayer], example: Inputs | None = None) -> Recipe:
    """The recipe that keeps most without a search, by what is ranked and what the network is made of.

    It was chosen by measurement, on ImageNet networks with references of 150 classes, by what is left on
    pictures of other classes (docs/recipes.md has the figures). Of filters relevance counts per MAC, and so
    does the rate, because filters of early layers cost many times as much as those of late ones. How many
    each layer loses is decided by the errors that this adds, measured in the answers of the network. After
    compensation BatchNorm's statistics are measured again, because a prediction varies less than what it
    predicts, and each layer would add to that. A transformer's neurons are ranked each by its own relevance:
    the joint orders, which help filters, fit its references too closely. A language model's, whose every
    position is a sample, are ordered by error as filters are, and their relevance is summed without its sign
    (docs/language-pruning.md).

    Args:
        model: The network.
        units: What is ranked.
        example: One input (1, 3, H, W); zeros of the network's default size if None.

    Returns:
        A recipe that sets everything but the rate.
    """
    filters = any(layer.kind in ("filters", "inner_filters") for layer in units)
    words = is_text(default_example(model) if example is None else example)
    words = words and all(layer.kind == "neurons" for layer in units)
    taylor = PRESETS["taylor"]
    recipe = replace(
        taylor,
        aggregation=Aggregation("sum_of_abs") if words else taylor.aggregation,
        budget="macs" if filters else "units",
        scope="global",
        relevance_per="macs" if filters else "unit",
        order=_first_order(("error", "joint") if filters or words else (), model, units, example),
        compensate="linear",
        sequential=False,
        bn="recalibrate" if filters and has_batchnorm(model) else "keep",
        rounds=1,
        multiple=1,
    )
    return recipe.renamed(AUTO)


def _first_order(
    orders: Sequence[str], model: nn.Module, units: Sequence[UnitLayer], example: Inputs | None
) -> str:
    """The first of the joint orders that the network has, else ``score``."""
    if not orders:
        return "score"
    inputs = inputs_of(model, units, default_example(model) if example is None else example)
    return next((order for order in orders if not why_no_joint_order(inputs, units, order)), "score")
