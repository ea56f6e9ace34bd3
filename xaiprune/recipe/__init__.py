"""Recipes: composite, initial relevance, aggregation, and how the ranking is used; presets of the papers."""

from xaiprune.recipe.auto import AUTO, auto_recipe
from xaiprune.recipe.configured import configured_composite, configured_recipe, recipe_of_file
from xaiprune.recipe.presets import PRESETS, RENAMED_PRESETS, preset
from xaiprune.recipe.ranking import first_of_each_class, relevances_of
from xaiprune.recipe.recipe import AttributionKey, Recipe
from xaiprune.recipe.scale import check_scale, unit_groups

__all__ = [
    "AUTO",
    "PRESETS",
    "RENAMED_PRESETS",
    "AttributionKey",
    "Recipe",
    "auto_recipe",
    "check_scale",
    "configured_composite",
    "configured_recipe",
    "first_of_each_class",
    "preset",
    "recipe_of_file",
    "relevances_of",
    "unit_groups",
]
