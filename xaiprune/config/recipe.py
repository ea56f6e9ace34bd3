"""The recipe that a composite file brings along: what, beside its rules, made the ranking of a trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from xaiprune.config.fields import RULE, Rule
from xaiprune.config.overrides import typed_keys_of
from xaiprune.config.schema import Config, PruneConfig
from xaiprune.errors import XaipruneError

# As a file calls it -> the key that it sets.
KEYS = {
    "start": "attribution.start",
    "aggregate": "attribution.aggregate",
    "image_weight": "attribution.image_weight",
    "normalize": "attribution.normalize",
    "scale": "attribution.scale",
    "references": "attribution.references",
    "scope": "prune.scope",
    "compensate": "prune.compensate",
    "order": "prune.order",
    "rate": "prune.rate",
}

_CONDITIONS = ("order", "compensate", "steps")  # of ``prune``: what a ranking is good for depends on them


def provenance_of(path: str | Path) -> dict[str, Any]:
    """What a composite file says of where it comes from; empty where it says nothing.

    Args:
        path: A file as `xaiprune search` and `xaiprune export` write it.

    Raises:
        XaipruneError: The file cannot be read, or its ``provenance`` is none.
    """
    try:
        data = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise XaipruneError(f"composite file {path} cannot be read: {str(error).splitlines()[0]}") from None
    found = (data.get("provenance") or {}) if isinstance(data, Mapping) else {}
    if not isinstance(found, Mapping):
        raise XaipruneError(f"{path}: provenance is no section; export the composite again")
    return dict(found)


def stored_recipe(path: str | Path) -> dict[str, Any]:
    """What a composite file says beside its rules: ``start``, ``aggregate``, ..., ``scale``, ``rate``.

    Args:
        path: As for `provenance_of`; a plain composite has no recipe.

    Raises:
        XaipruneError: The file cannot be read, or its recipe is none.
    """
    provenance = provenance_of(path)
    recipe: dict[str, Any] = {}
    for section in ("attribution", "recipe"):
        found = provenance.get(section) or {}
        if not isinstance(found, Mapping):
            raise XaipruneError(f"{path}: provenance.{section} is no section; export the composite again")
        recipe |= found
    return recipe


def searched_with(path: str | Path) -> dict[str, Any]:
    """How the trial that a composite file comes from took units away: ``order``, ``compensate``, ``steps``.

    Args:
        path: As for `provenance_of`; empty where the file does not say, and without what it carries in its
            recipe, which `take_along` sets.

    Raises:
        XaipruneError: The file cannot be read, or its provenance is none.
    """
    found = provenance_of(path).get("prune")
    if not isinstance(found, Mapping):
        return {}
    recipe, plain = stored_recipe(path), PruneConfig()
    # A study's settings name only what is not as always.
    return {key: found.get(key, getattr(plain, key)) for key in _CONDITIONS if key not in recipe}


def take_along(config: Config, overrides: Sequence[str]) -> None:
    """Set in place what ``composite.file`` brings along, unless it was typed.

    Args:
        config: Composed and checked.
        overrides: As typed: what they set stays as it is.

    Raises:
        XaipruneError: The file's recipe has an unknown entry, or a value that is not allowed.
    """
    path = config.composite.file
    if path is None:
        return
    typed = typed_keys_of(overrides)
    for name, value in stored_recipe(path).items():
        if name not in KEYS:
            raise XaipruneError(
                f"{path}: provenance has the unknown entry '{name}'; known are {', '.join(KEYS)}"
            )
        section, field = KEYS[name].split(".")
        node = getattr(config, section)
        rule: Rule = next(f for f in fields(node) if f.name == field).metadata[RULE]
        if not _allows(rule, value):
            raise XaipruneError(f"{path}: provenance: {name} must be {rule.text}, got {value}")
        if not _is_typed(KEYS[name], typed):
            setattr(node, field, value)


def _is_typed(key: str, typed: Iterable[str]) -> bool:
    """Whether the key, its whole section, or an entry below it was typed."""
    section = key.split(".")[0]
    return any(other in (key, section) or other.startswith(f"{key}.") for other in typed)


def _allows(rule: Rule, value: Any) -> bool:
    try:
        return rule.allows(value)
    except (TypeError, AttributeError):
        return False
