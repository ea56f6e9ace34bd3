from .auto import AUTO, auto_recipe
from .configured import (
    Asked,
    asked_recipe,
    attributing_as,
    check_fits,
    complete_prune,
    complete_recipe,
    configured_recipe,
    pruning_as,
)
from .file import load_recipe, read_recipe, save_recipe
from .presets import PAPER, PRESETS, RENAMED_PRESETS, preset
from .ranking import first_of_each_class, relevances_of
from .recipe import AttributionKey, Recipe
from .scale import check_scale, unit_groups

__all__ = [
    "AUTO",
    "PAPER",
    "PRESETS",
    "RENAMED_PRESETS",
    "Asked",
    "AttributionKey",
    "Recipe",
    "asked_recipe",
    "attributing_as",
    "auto_recipe",
    "check_fits",
    "check_scale",
    "complete_prune",
    "complete_recipe",
    "configured_recipe",
    "first_of_each_class",
    "load_recipe",
    "preset",
    "pruning_as",
    "read_recipe",
    "relevances_of",
    "save_recipe",
    "unit_groups",
]
