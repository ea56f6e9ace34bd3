"""Which recipe is used: what is asked for, completed once the network is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from xaiprune.attribution import Aggregation, Composite, load_composite
from xaiprune.attribution.lrp import LayerInfo
from xaiprune.config import (
    RECIPE_PRUNE,
    AttributionConfig,
    CompletePruneConfig,
    CompositeConfig,
    Config,
    PruneConfig,
    is_file_name,
)
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.forward import Inputs
from xaiprune.recipe.auto import AUTO, auto_recipe
from xaiprune.recipe.file import read_recipe
from xaiprune.recipe.presets import PAPER, PRESETS, RENAMED_PRESETS, preset
from xaiprune.recipe.recipe import Recipe
from xaiprune.recipe.scale import check_scale
from xaiprune.units import UnitLayer

# What is asked for, as far as no network is needed to say it; None: `auto_recipe`.
Asked = Recipe | Composite | None


def asked_recipe(wanted: Recipe | Composite | str | Path) -> Asked:
    """What ``recipe=...`` asks for.

    Args:
        wanted: A recipe; a composite, which is only the rules of one; ``auto``, ``paper`` or the name of a
            preset; a file. A recipe from a file is named after it.

    Raises:
        XaipruneError: There is no such recipe (names the closest), or its file cannot be used.
    """
    if isinstance(wanted, Recipe | Composite):
        return wanted
    if isinstance(wanted, Path) or is_file_name(wanted):
        return read_recipe(wanted).renamed(Path(wanted).name)
    if wanted == AUTO:
        return None
    if wanted == PAPER.name:
        return PAPER
    known = (AUTO, PAPER.name, *PRESETS)
    if wanted not in (*known, *RENAMED_PRESETS):
        closest = did_you_mean(wanted, known) or f"; choose from {', '.join(known)}, or name a FILE.yaml"
        raise XaipruneError(f"recipe: there is no preset '{wanted}'{closest}")
    return preset(wanted)


def complete_recipe(
    asked: Asked, model: nn.Module, units: Sequence[UnitLayer], example: Inputs | None = None
) -> Recipe:
    """A recipe that says how its ranking is used: what it leaves open is `auto_recipe`'s.

    Args:
        asked: As `asked_recipe` gives it; a composite has all but its rules from `auto_recipe`.
        model: The network.
        units: What is ranked.
        example: As `auto_recipe` takes it.
    """
    if isinstance(asked, Recipe) and len(asked.prune) == len(RECIPE_PRUNE):
        return asked  # and the network need not be traced
    auto = auto_recipe(model, units, example)
    if asked is None or isinstance(asked, Composite):
        asked = auto if asked is None else replace(auto, composite=asked)
    plain = PAPER.prune | auto.prune  # what neither says is as it was before one could say it
    return replace(asked, **{key: value for key, value in plain.items() if getattr(asked, key) is None})


def configured_recipe(
    config: Config, model: nn.Module, units: Sequence[UnitLayer], example: Inputs | None = None
) -> Recipe:
    """The configuration's recipe, complete: what is set in its other sections replaces what ``recipe`` says.

    Args:
        config: Of any task.
        model: The network.
        units: What is ranked.
        example: As `auto_recipe` takes it.

    Raises:
        XaipruneError: As `asked_recipe`, or the composite is none.
    """
    recipe = complete_recipe(asked_recipe(config.recipe), model, units, example)
    if (composite := configured_composite(config.composite)) is not None:
        recipe = replace(recipe, composite=composite)
    return pruning_as(attributing_as(recipe, config.attribution), config.prune)


def configured_composite(config: CompositeConfig) -> Composite | None:
    """Rules that replace the recipe's: of ``composite.file``, else of ``composite.preset``; None: of neither.

    Raises:
        XaipruneError: Unknown preset, or a file that is no composite.
    """
    if config.file is not None:
        return load_composite(Path(config.file).expanduser())
    return None if config.preset is None else preset(config.preset, "composite.preset").composite


def attributing_as(recipe: Recipe, settings: AttributionConfig) -> Recipe:
    """A recipe with what the ``attribution`` section sets."""
    of = recipe.attribution | {
        key: value for key in recipe.attribution if (value := getattr(settings, key)) is not None
    }
    return replace(
        recipe,
        start=of["start"],  # type: ignore[arg-type]  # the schema has checked it
        aggregation=Aggregation(of["aggregate"], of["image_weight"], of["normalize"]),  # type: ignore[arg-type]
        scale=dict(settings.scale) or recipe.scale,
        references=settings.references or recipe.references,
    )


def pruning_as(recipe: Recipe, settings: PruneConfig) -> Recipe:
    """A recipe with what the ``prune`` section sets, the rate included."""
    keys = (*RECIPE_PRUNE, "rate")
    return replace(recipe, **{key: value for key in keys if (value := getattr(settings, key)) is not None})


def complete_prune(settings: PruneConfig, recipe: Recipe) -> CompletePruneConfig:
    """The ``prune`` section with everything that a complete recipe says."""
    found: dict[str, Any] = {**asdict(settings), **recipe.prune}
    return CompletePruneConfig(**found)


def check_fits(recipe: Recipe, units: Sequence[UnitLayer], layers: Sequence[LayerInfo]) -> None:
    """Refuse a recipe that speaks of layers that the network does not have.

    Args:
        recipe: Any.
        units: The network's unit layers.
        layers: The network's layers.

    Raises:
        XaipruneError: Names the first factor or pattern that belongs to nothing, and the closest name.
    """
    check_scale(f"recipe {recipe.name}: scale", recipe.scale, units)
    recipe.composite.resolve(layers)
