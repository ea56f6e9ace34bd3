"""Recipe files as plain data: every value checked, and what a configuration takes of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from xaiprune.config.fields import Rule, rule_of
from xaiprune.config.overrides import overridden_keys
from xaiprune.config.renamed import current_names
from xaiprune.config.schema import (
    AttributionConfig,
    CompletePruneConfig,
    CompositeConfig,
    Config,
    PruneConfig,
    UnitsConfig,
)
from xaiprune.errors import XaipruneError, did_you_mean

RECIPE_SCHEMA = "xaiprune/recipe/1"
AUTO_RECIPE, PAPER_RECIPE = "auto", "paper"  # what ``recipe=`` takes beside files and presets
COMPOSITE_SCHEMA = "xaiprune/composite/1"  # also what recipes were stored in first, beside their provenance

# Entry of a recipe -> the key that replaces it.
RECIPE_KEYS = {
    "start": "attribution.start",
    "aggregate": "attribution.aggregate",
    "image_weight": "attribution.image_weight",
    "normalize": "attribution.normalize",
    "scale": "attribution.scale",
    "references": "attribution.references",
    "scope": "prune.scope",
    "order": "prune.order",
    "relevance_per": "prune.relevance_per",
    "compensate": "prune.compensate",
    "sequential": "prune.sequential",
    "bn": "prune.bn",
    "rounds": "prune.rounds",
    "budget": "prune.budget",
    "multiple": "prune.multiple",
    "rate": "prune.rate",
    "units": "units.kind",
}
# How the ranking is used: keys of the ``prune`` section beside the rate.
RECIPE_PRUNE = tuple(name for name, key in RECIPE_KEYS.items() if key == f"prune.{name}" and name != "rate")
# Entries that are a section in the file -> their names there.
AGGREGATION = {"aggregate": "mode", "image_weight": "image_weight", "normalize": "normalize"}
_SECTIONS = {"attribution": AttributionConfig, "prune": PruneConfig, "units": UnitsConfig}
_KNOWN = (
    *("schema", "composite", "aggregation", "provenance"),
    *(name for name in RECIPE_KEYS if name not in AGGREGATION),
)
# What files from before `RECIPE_SCHEMA` mean where they do not say.
_FORMERLY = {"start": "one", "aggregate": "abs_of_sum", "image_weight": "as_is", "normalize": "none"}


def is_file_name(recipe: str) -> bool:
    """Whether ``recipe=...`` names a file, and not a recipe that we have."""
    return recipe.endswith((".yaml", ".yml"))


def provenance_of(path: str | Path) -> dict[str, Any]:
    """The ``provenance`` section of a recipe or composite file: where it comes from; empty if there is none.

    Args:
        path: A file as `xaiprune search` and `xaiprune export` write it.

    Returns:
        The section, with the current names of settings.

    Raises:
        XaipruneError: The file cannot be read, or its ``provenance`` is not a section.
    """
    return _provenance(path, _read(path))


def stored_recipe(path: str | Path) -> dict[str, Any] | None:
    """The recipe in a file; None where the file is a composite: rules and nothing else.

    Args:
        path: A recipe file, of any version.

    Returns:
        ``composite`` (as in a composite file, without ``schema``), and those of `RECIPE_KEYS` that are set.

    Raises:
        XaipruneError: The file cannot be read, is of an unknown version, has an unknown key, lacks one, or a
            value is not allowed; names file and key.
    """
    data = _read(path)
    schema = data.get("schema")
    if schema == RECIPE_SCHEMA:
        found = _of_recipe(path, data)
        places = {name: f"aggregation.{key}" for name, key in AGGREGATION.items()}
    elif schema == COMPOSITE_SCHEMA:
        former = _of_composite(path, data)
        if former is None:
            return None
        found, places = former, {name: f"provenance: {name}" for name in RECIPE_KEYS}
    else:
        raise XaipruneError(
            f"{path}: schema is {schema!r}, this xaiprune reads '{RECIPE_SCHEMA}' and '{COMPOSITE_SCHEMA}'; "
            "upgrade xaiprune, or export the recipe again"
        )
    for name, value in found.items():
        _check_value(f"{path}: {places.get(name, name)}", name, value)
    return found


def take_recipe(config: Config, overrides: Sequence[str], task: str) -> None:
    """Find out which recipe is meant, and take what the configuration needs of its file, in place.

    ``composite=FILE`` with a whole recipe means ``recipe=FILE``. A search around a recipe's file
    (``space.around``) begins with all of that recipe, unless another one is typed.

    Args:
        config: Composed and checked.
        overrides: As typed.
        task: That runs.

    Raises:
        XaipruneError: As `stored_recipe`; or two recipes are typed.
    """
    typed = overridden_keys(overrides)
    is_typed = _is_typed("recipe", typed)
    file, around = config.composite.file, config.space.get("around")
    if file is not None and stored_recipe(file) is not None:
        if is_typed:
            raise XaipruneError(
                f"recipe={config.recipe} and composite={file} are two recipes; set one of them"
            )
        config.composite.file = None
        use_recipe(config, file, typed)
    elif is_file_name(config.recipe):
        use_recipe(config, config.recipe, typed)
    elif is_typed:
        _leave_to_recipe(config, typed)
    elif task == "search" and isinstance(around, str) and _is_recipe(around):
        use_recipe(config, around, typed)


def use_recipe(config: Config, path: str, typed: Collection[str]) -> None:
    """Make a file's recipe the configuration's, in place; typed keys stay as they are.

    Args:
        config: Its ``recipe``, ``composite``, ``attribution``, ``prune`` and ``units`` change.
        path: The file; a composite alone gives only the rules.
        typed: Keys that were typed.

    Raises:
        XaipruneError: As `stored_recipe`.
    """
    found = stored_recipe(path)
    _leave_to_recipe(config, typed)
    if not _is_typed("composite.file", typed) and not _is_typed("composite.preset", typed):
        config.composite = CompositeConfig()
    if found is None:
        config.recipe, config.composite = "auto", CompositeConfig(file=path)
        return
    config.recipe = path
    for name in ("rate", "units"):  # these have a value in conf/, too
        if name in found and not _is_typed(RECIPE_KEYS[name], typed):
            section, field = RECIPE_KEYS[name].split(".")
            setattr(getattr(config, section), field, found[name])


def _is_recipe(around: str) -> bool:
    """Whether it is the file of a whole recipe; that there is a file at all is checked with the space."""
    return is_file_name(around) and Path(around).is_file() and stored_recipe(around) is not None


def _leave_to_recipe(config: Config, typed: Collection[str]) -> None:
    """Forget what an experiment says of a recipe: one that is typed goes before it."""
    for name, key in RECIPE_KEYS.items():
        if name not in ("rate", "units") and not _is_typed(key, typed):
            section, field = key.split(".")
            setattr(getattr(config, section), field, {} if name == "scale" else None)


def _read(path: str | Path) -> Mapping[str, Any]:
    try:
        data = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise XaipruneError(f"recipe file {path} does not exist") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise XaipruneError(f"recipe file {path} cannot be read: {str(error).splitlines()[0]}") from None
    return data if isinstance(data, Mapping) else {}


def _provenance(path: str | Path, data: Mapping[str, Any]) -> dict[str, Any]:
    found = data.get("provenance") or {}
    if not isinstance(found, Mapping):
        raise XaipruneError(f"{path}: provenance is not a section; export the recipe again")
    return {
        name: current_names(name, value) if isinstance(value, Mapping) else value
        for name, value in found.items()
    }


def _of_recipe(path: str | Path, data: Mapping[str, Any]) -> dict[str, Any]:
    _check_keys(f"{path}: ", data, _KNOWN)
    for key in ("composite", "start", "aggregation"):
        if data.get(key) is None:
            raise XaipruneError(f"{path}: has no {key}, so it is no recipe; export it again")
    for key in ("composite", "aggregation"):
        if not isinstance(data[key], Mapping):
            raise XaipruneError(f"{path}: {key} must be a section, got {data[key]}")
    aggregation = data["aggregation"]
    _check_keys(f"{path}: aggregation.", aggregation, AGGREGATION.values())
    if aggregation.get("mode") is None:
        raise XaipruneError(f"{path}: has no aggregation.mode, so it is no recipe; export it again")
    found = {"composite": dict(data["composite"])}
    for name in RECIPE_KEYS:
        value = aggregation.get(AGGREGATION[name]) if name in AGGREGATION else data.get(name)
        if value is not None:
            found[name] = value
    return found


def _of_composite(path: str | Path, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """A recipe of before there were recipe files: in a composite's provenance."""
    provenance = _provenance(path, data)
    stated: dict[str, Any] = {}
    for section in ("attribution", "recipe"):
        found = provenance.get(section) or {}
        if not isinstance(found, Mapping):
            raise XaipruneError(f"{path}: provenance.{section} is not a section; export the recipe again")
        stated |= found
    if not stated:
        return None
    for name in stated:
        if name not in RECIPE_KEYS:
            raise XaipruneError(
                f"{path}: provenance has the unknown entry '{name}'; there are {', '.join(RECIPE_KEYS)}"
            )
    plain, searched = CompletePruneConfig(), _section(provenance, "prune")
    inherited = {key: searched.get(key, getattr(plain, key)) for key in RECIPE_PRUNE}
    inherited |= {"rate": searched.get("rate"), "units": _section(provenance, "units").get("kind")}
    composite = {key: value for key, value in data.items() if key not in ("schema", "provenance")}
    found = {"composite": composite, **_FORMERLY, **inherited, **stated}
    return {name: value for name, value in found.items() if value is not None}


def _section(provenance: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = provenance.get(name)
    return found if isinstance(found, Mapping) else {}


def _check_keys(where: str, data: Mapping[str, Any], known: Collection[str]) -> None:
    for key in data:
        if key not in known:
            closest = did_you_mean(str(key), known) or f"; there are {', '.join(known)}"
            raise XaipruneError(f"{where}{key} is unknown{closest}")


def _check_value(where: str, name: str, value: Any) -> None:
    if name == "composite":  # checked where rules are known
        return
    if name == "sequential":
        rule = Rule(lambda given: isinstance(given, bool), "true or false")
    elif name == "units":  # a kind of one's own may be registered later
        rule = Rule(lambda given: isinstance(given, str), "the name of a unit kind")
    else:
        section, field = RECIPE_KEYS[name].split(".")
        rule = rule_of(next(item for item in fields(_SECTIONS[section]) if item.name == field), value)
    if not _allows(rule, value):
        raise XaipruneError(f"{where} must be {rule.text}, got {value}")


def _is_typed(key: str, typed: Iterable[str]) -> bool:
    """Whether the key, its whole section, or an entry below it was typed."""
    section = key.split(".")[0]
    return any(other in (key, section) or other.startswith(f"{key}.") for other in typed)


def _allows(rule: Rule, value: Any) -> bool:
    try:
        return rule.allows(value)
    except (TypeError, AttributeError):  # a value of another type
        return False
