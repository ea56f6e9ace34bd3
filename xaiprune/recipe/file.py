"""Recipes as YAML files and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xaiprune.attribution import Aggregation, Composite, load_composite
from xaiprune.attribution.lrp import composite_from_dict
from xaiprune.config import AGGREGATION, COMPOSITE_SCHEMA, stored_recipe
from xaiprune.errors import XaipruneError
from xaiprune.recipe.recipe import Recipe
from xaiprune.recipe.written import write_recipe


def save_recipe(path: str | Path, recipe: Recipe, provenance: Mapping[str, Any] | None = None) -> Path:
    """Write a recipe as YAML, which every task takes as ``recipe=FILE``.

    Args:
        path: The file; it is complete, or as it was before.
        recipe: What to write; what it does not set is not in the file.
        provenance: Where it comes from, for people: plain data.

    Returns:
        The path.

    Example:
        >>> save_recipe("mine.yaml", Recipe(Composite(Gamma(0.25)), order="joint", compensate="linear"))
    """
    return write_recipe(path, recipe.to_dict(), provenance)


def load_recipe(path: str | Path) -> Recipe:
    """The recipe of a YAML file, also of one that an older xaiprune wrote.

    Args:
        path: As `save_recipe`, `xaiprune search` and `xaiprune export` write it.

    Raises:
        XaipruneError: No such file, a composite alone, an unknown version or key, a missing key, or a value
            that is not allowed; names file and key.
    """
    found = read_recipe(path)
    if isinstance(found, Composite):
        raise XaipruneError(f"{path} is a composite alone, rules without a recipe; load_composite reads it")
    return found


def read_recipe(path: str | Path) -> Recipe | Composite:
    """A file's recipe; of a composite file, which has only rules, the composite.

    Raises:
        XaipruneError: As `load_recipe`.
    """
    path = Path(path).expanduser()
    found = stored_recipe(path)
    if found is None:
        return load_composite(path)
    composite = composite_from_dict({"schema": COMPOSITE_SCHEMA, **found.pop("composite")}, str(path))
    of = {field: found.pop(key) for key, field in AGGREGATION.items() if key in found}
    try:
        return Recipe(composite, found.pop("start"), Aggregation(**of), **found)
    except (XaipruneError, TypeError) as error:
        raise XaipruneError(f"{path}: {error}") from None
