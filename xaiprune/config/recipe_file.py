"""Recipes in composite files: beside the rules, everything else that ranked the units of a trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from xaiprune.config.fields import RULE, Rule
from xaiprune.config.overrides import overridden_keys
from xaiprune.config.renamed import current_names
from xaiprune.config.schema import Config, PruneConfig
from xaiprune.errors import XaipruneError

# Entry of a stored recipe -> the key that it sets.
RECIPE_KEYS = {
    "start": "attribution.start",
    "aggregate": "attribution.aggregate",
    "image_weight": "attribution.image_weight",
    "normalize": "attribution.normalize",
    "scale": "attribution.scale",
    "references": "attribution.references",
    "scope": "prune.scope",
    "compensate": "prune.compensate",
    "order": "prune.order",
    "rounds": "prune.rounds",
    "sequential": "prune.sequential",
    "rate": "prune.rate",
}

_SWITCH = Rule(lambda value: isinstance(value, bool), "true or false")  # of fields without a rule
_CONDITIONS = ("order", "compensate", "rounds")  # of ``prune``: how good a ranking is depends on them


def provenance_of(path: str | Path) -> dict[str, Any]:
    """The ``provenance`` section of a composite file: where it comes from; empty if there is none.

    Args:
        path: A file as `xaiprune search` and `xaiprune export` write it.

    Returns:
        The section, with the current names of settings.

    Raises:
        XaipruneError: The file cannot be read, or its ``provenance`` is not a section.
    """
    try:
        data = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise XaipruneError(f"composite file {path} cannot be read: {str(error).splitlines()[0]}") from None
    found = (data.get("provenance") or {}) if isinstance(data, Mapping) else {}
    if not isinstance(found, Mapping):
        raise XaipruneError(f"{path}: provenance is not a section; export the composite again")
    return {
        name: current_names(name, value) if isinstance(value, Mapping) else value
        for name, value in found.items()
    }


def stored_recipe(path: str | Path) -> dict[str, Any]:
    """The recipe in a composite file, without the composite: ``start``, ``aggregate``, ..., ``rate``.

    Args:
        path: As for `provenance_of`; a plain composite has no recipe.

    Raises:
        XaipruneError: The file cannot be read, or its recipe is not a section.
    """
    provenance = provenance_of(path)
    recipe: dict[str, Any] = {}
    for section in ("attribution", "recipe"):
        found = provenance.get(section) or {}
        if not isinstance(found, Mapping):
            raise XaipruneError(f"{path}: provenance.{section} is not a section; export the composite again")
        recipe |= found
    return recipe


def search_conditions(path: str | Path) -> dict[str, Any]:
    """The ``prune`` settings of the search that a composite file comes from: order, compensation, rounds.

    Args:
        path: As for `provenance_of`.

    Returns:
        Setting -> value; empty if the file does not say. Settings in the file's recipe are left out, because
        `apply_recipe_file` sets them.

    Raises:
        XaipruneError: The file cannot be read, or its provenance is not a section.
    """
    found = provenance_of(path).get("prune")
    if not isinstance(found, Mapping):
        return {}
    recipe, defaults = stored_recipe(path), PruneConfig()
    # Studies store only settings that differ from the default.
    return {key: found.get(key, getattr(defaults, key)) for key in _CONDITIONS if key not in recipe}


def apply_recipe_file(config: Config, overrides: Sequence[str]) -> None:
    """Copy the recipe in ``composite.file`` into the configuration, in place; typed keys stay as they are.

    Args:
        config: Composed and checked.
        overrides: As typed.

    Raises:
        XaipruneError: The recipe has an unknown entry, or a value that is not allowed.
    """
    path = config.composite.file
    if path is None:
        return
    typed = overridden_keys(overrides)
    for name, value in stored_recipe(path).items():
        if name not in RECIPE_KEYS:
            raise XaipruneError(
                f"{path}: provenance has the unknown entry '{name}'; there are {', '.join(RECIPE_KEYS)}"
            )
        section, field = RECIPE_KEYS[name].split(".")
        node = getattr(config, section)
        rule: Rule = next(f for f in fields(node) if f.name == field).metadata.get(RULE, _SWITCH)
        if not _allows(rule, value):
            raise XaipruneError(f"{path}: provenance: {name} must be {rule.text}, got {value}")
        if not _is_typed(RECIPE_KEYS[name], typed):
            setattr(node, field, value)


def _is_typed(key: str, typed: Iterable[str]) -> bool:
    """Whether the key, its whole section, or an entry below it was typed."""
    section = key.split(".")[0]
    return any(other in (key, section) or other.startswith(f"{key}.") for other in typed)


def _allows(rule: Rule, value: Any) -> bool:
    try:
        return rule.allows(value)
    except (TypeError, AttributeError):  # a value of another type
        return False
