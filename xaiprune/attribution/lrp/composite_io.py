"""Composites as YAML and back, with a schema version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from xaiprune.attribution.lrp.composite import Composite, Match, make_rule
from xaiprune.attribution.lrp.rules import Rule
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing

SCHEMA = "xaiprune/composite/1"
_RECIPE = "xaiprune/recipe/1"  # whose section ``composite`` is one without ``schema``
_TREATMENTS = ("softmax", "activation", "norm", "product")
_KEYS = {"schema", "name", "default", "layers", *_TREATMENTS, "depth", "groups", "provenance"}


def composite_to_dict(composite: Composite) -> dict[str, Any]:
    """Plain data, as in the YAML file."""
    return {
        "schema": SCHEMA,
        "name": composite.name,
        "default": _rule_to_dict(composite.default),
        "layers": [
            {"match": _match_to_dict(match), **_rule_to_dict(rule)} for match, rule in composite.layers
        ],
        **{key: getattr(composite, key) for key in _TREATMENTS},
        "depth": list(composite.depth),
        **({"groups": {k: list(v) for k, v in composite.groups.items()}} if composite.groups else {}),
    }


def composite_from_dict(data: Mapping[str, Any], source: str = "composite") -> Composite:
    """The composite that plain data describes.

    Args:
        data: As `composite_to_dict` gives it; left-out keys take their defaults.
        source: Named in error messages (a file).

    Raises:
        XaipruneError: Wrong schema, unknown key or rule, value out of range.
    """
    schema = data.get("schema") if isinstance(data, Mapping) else None
    if schema != SCHEMA:
        raise XaipruneError(
            f"{source}: schema is {schema!r}, this xaiprune reads '{SCHEMA}'; "
            f"upgrade xaiprune or export the composite again"
        )
    unknown = set(data) - _KEYS
    if unknown:
        raise XaipruneError(
            f"{source}: unknown key '{sorted(unknown)[0]}'; choose from {', '.join(sorted(_KEYS))}"
        )
    options: dict[str, Any] = {key: data[key] for key in _TREATMENTS if key in data}
    if "depth" in data:
        options["depth"] = tuple(float(x) for x in data["depth"])
    if data.get("groups"):
        options["groups"] = {group: _strings(patterns) for group, patterns in data["groups"].items()}
    try:
        return Composite(
            default=_rule_from_dict(data.get("default", {"rule": "epsilon"})),
            layers=tuple(_entry_from_dict(entry) for entry in data.get("layers") or ()),
            name=str(data.get("name") or ""),
            **options,
        )
    except XaipruneError as error:
        raise XaipruneError(f"{source}: {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise XaipruneError(f"{source}: not a composite ({error})") from None


def save_composite(
    path: str | Path, composite: Composite, provenance: Mapping[str, Any] | None = None
) -> Path:
    """Write a composite as YAML.

    Args:
        path: The file; it is complete, or as it was before.
        composite: What to write.
        provenance: Where the composite comes from, for people; written but never read.

    Returns:
        The path.
    """
    path = Path(path)
    data = composite_to_dict(composite)
    if provenance:
        data["provenance"] = dict(provenance)
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def load_composite(path: str | Path) -> Composite:
    """The composite of a YAML file: of a composite alone, or of a recipe.

    Raises:
        XaipruneError: No such file, not YAML, or not a composite (see `composite_from_dict`).
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise XaipruneError(f"composite file {path} does not exist") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise XaipruneError(f"composite file {path} cannot be read: {str(error).splitlines()[0]}") from None
    if isinstance(data, Mapping) and data.get("schema") == _RECIPE:
        data = {"schema": SCHEMA, **(data.get("composite") or {})}
    return composite_from_dict(data, str(path))


def _rule_to_dict(rule: Rule) -> dict[str, Any]:
    return {"rule": rule.name, **rule.parameters()}


def _rule_from_dict(data: Mapping[str, Any]) -> Rule:
    parameters = dict(data)
    if "rule" not in parameters:
        raise XaipruneError("an entry has no 'rule'")
    name = parameters.pop("rule")
    return make_rule(name, **{k: _number(v) for k, v in parameters.items()})


def _number(value: Any) -> Any:
    # YAML 1.1 reads 1e-6 (no dot) as a string
    try:
        return float(value) if isinstance(value, str | int) and not isinstance(value, bool) else value
    except ValueError:
        return value


def _entry_from_dict(entry: Mapping[str, Any]) -> tuple[Match, Rule]:
    data = dict(entry)
    match = dict(data.pop("match", {}))
    fields = {"name": "names", "type": "types", "group": "groups"}
    for key in match:
        if key not in fields:
            raise XaipruneError(f"match has no key '{key}'; it has name, type and group")
    return Match(**{fields[key]: _strings(value) for key, value in match.items()}), _rule_from_dict(data)


def _match_to_dict(match: Match) -> dict[str, Any]:
    parts = {"name": match.names, "type": match.types, "group": match.groups}
    return {key: value[0] if len(value) == 1 else list(value) for key, value in parts.items() if value}


def _strings(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str) else tuple(str(v) for v in value)
