"""Recipes from a configuration and from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from xaiprune.attribution import Aggregation, Composite, Start, load_composite
from xaiprune.config import AttributionConfig, CompositeConfig, Config, stored_recipe
from xaiprune.errors import XaipruneError
from xaiprune.recipe.presets import preset
from xaiprune.recipe.recipe import Recipe


def configured_composite(config: CompositeConfig) -> Composite:
    """``composite.file`` if there is one, else ``composite.preset`` (epsilon where neither is given).

    Only rules come from here; start and aggregation belong to the ``attribution`` section.

    Raises:
        XaipruneError: Unknown preset, or a file that is no composite.
    """
    if config.file is not None:
        return load_composite(Path(config.file).expanduser())
    return preset(config.preset or "epsilon", "composite.preset").composite


def configured_recipe(config: Config) -> Recipe:
    """Composite, start, aggregation, scale and references of a configuration.

    Scope, order, compensation, rounds and rate are the ``prune`` section's, which a composite file's own
    settings have been copied to as well.

    Raises:
        XaipruneError: Unknown preset, or a file that is no composite.
    """
    settings = config.attribution
    return Recipe(
        configured_composite(config.composite),
        cast(Start, settings.start),  # the schema has checked it
        Aggregation(settings.aggregate, settings.image_weight, settings.normalize),  # type: ignore[arg-type]
        scale=dict(settings.scale),
        references=settings.references,
    )


def recipe_of_file(path: str, attribution: AttributionConfig) -> Recipe:
    """The recipe in a composite file; what it does not set comes from the ``attribution`` section.

    Raises:
        XaipruneError: It is no composite, or its recipe has a value that is not allowed.
    """
    settings: dict[str, Any] = {
        "start": attribution.start,
        "aggregate": attribution.aggregate,
        "image_weight": attribution.image_weight,
        "normalize": attribution.normalize,
    }
    settings |= stored_recipe(path)
    mode, weight, normalize = (settings.pop(key) for key in ("aggregate", "image_weight", "normalize"))
    try:
        aggregation = Aggregation(mode, weight, normalize)
        return Recipe(load_composite(path), settings.pop("start"), aggregation, **settings)
    except (XaipruneError, TypeError) as error:
        raise XaipruneError(f"{path}: {error}") from None
