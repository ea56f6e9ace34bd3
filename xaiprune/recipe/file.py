"""Recipes as YAML files and back, with a schema version: the recipe first, where it comes from last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import yaml

from xaiprune.attribution import Aggregation, Composite, load_composite
from xaiprune.attribution.lrp import composite_from_dict, composite_to_dict
from xaiprune.config import AGGREGATION, COMPOSITE_SCHEMA, RECIPE_SCHEMA, stored_recipe
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.recipe.recipe import Recipe

_WIDTH = 110


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
    path = Path(path)
    composite = _plain(composite_to_dict(recipe.composite))
    del composite["schema"]
    composite["layers"] = [_Line(entry) for entry in composite["layers"]]
    data: dict[str, Any] = {
        "schema": RECIPE_SCHEMA,
        "composite": composite,
        "start": recipe.start,
        "aggregation": asdict(recipe.aggregation),
        **_plain(recipe.settings),
    }
    if provenance:
        data["provenance"] = _plain(provenance)
    text = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=_WIDTH
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


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


class _Line(dict[str, Any]):
    """A section that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Plain data; sections of single values, and `_Line`, on one line each."""


_Dumper.add_representer(
    _Line, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), True)
)


def _plain(value: Any) -> Any:
    """Python's own types: numbers of numpy would be written with their type, or not at all."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else str(value)
