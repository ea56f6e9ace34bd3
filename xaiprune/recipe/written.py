"""A recipe's file as it is written, with a schema version: the recipe first, where it comes from last."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import yaml

from xaiprune.config import RECIPE_PRUNE, RECIPE_SCHEMA
from xaiprune.files import replacing

# Stored only where they are set, so that recipes from before there was one keep their hash; files have them
# in this order.
OPTIONAL = ("scale", "references", *RECIPE_PRUNE, "rate", "units")
_WIDTH = 110


def write_recipe(path: str | Path, recipe: Mapping[str, Any], provenance: Mapping[str, Any] | None) -> Path:
    """Write a recipe that is plain data, which needs no torch.

    Args:
        path: The file; it is complete, or as it was before.
        recipe: As `Recipe.to_dict` gives it; what it does not set is not in the file.
        provenance: Where it comes from, for people: plain data.

    Returns:
        The path.
    """
    path = Path(path)
    composite = _plain(recipe["composite"])
    del composite["schema"]
    composite["layers"] = [_Line(entry) for entry in composite["layers"]]
    data: dict[str, Any] = {
        "schema": RECIPE_SCHEMA,
        "composite": composite,
        "start": recipe["start"],
        "aggregation": _plain(recipe["aggregation"]),
        **_plain({key: recipe[key] for key in OPTIONAL if recipe.get(key) not in (None, {})}),
    }
    if provenance:
        data["provenance"] = _plain(provenance)
    text = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=_WIDTH
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


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
