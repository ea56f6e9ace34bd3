"""Spaces from YAML (``conf/space/*.yaml``, or the ``space`` section of a configuration)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from xaiprune.attribute import Start
from xaiprune.attribute.lrp.composite import Composite, LayerType, Match, Softmax
from xaiprune.attribute.lrp.rules import RULES
from xaiprune.attribute.relevance import AggregateMode, ImageWeight, Normalize
from xaiprune.config import AttributionConfig, did_you_mean
from xaiprune.errors import XaipruneError
from xaiprune.search.space import (
    ANY,
    BETWEEN,
    Dimension,
    Fixed,
    Number,
    OneOf,
    Part,
    Range,
    RuleOption,
    Space,
)
from xaiprune.search.suggest import rule_of

SCHEMA = "xaiprune/space/1"
_CHOICES: dict[str, tuple[str, ...]] = {
    "between": BETWEEN,
    "softmax": tuple(s for s in get_args(Softmax) if s != "gradient"),  # that is between=gradient
    "start": get_args(Start),
    "aggregate": get_args(AggregateMode),
    "image_weight": get_args(ImageWeight),
    "normalize": get_args(Normalize),
}
_KEYS = ("schema", "depth", "rules", "parts", *_CHOICES)
_CONDITIONS = {"name": "names", "type": "types", "group": "groups"}


def read_space(data: Mapping[str, Any], attribution: AttributionConfig | None = None) -> Space:
    """The space that plain data describes.

    Args:
        data: The ``space`` section. ``rules`` and ``parts`` are required; a choice that is not there
            (``start: [...]``) is not searched.
        attribution: Gives the choices that the space leaves out.

    Raises:
        XaipruneError: Names the key and what it must be.
    """
    _check_keys("space", data, _KEYS)
    if data.get("schema") != SCHEMA:
        raise XaipruneError(
            f"space.schema is {data.get('schema')!r}, this xaiprune reads '{SCHEMA}'; upgrade xaiprune, "
            "or see docs/search.md for how a space is written"
        )
    rules = _section(data, "rules")
    options = {str(name): _option(str(name), rule) for name, rule in rules.items()}
    parts = tuple(_part(str(name), part or {}, options) for name, part in _section(data, "parts").items())
    for part in parts[:-1]:
        if part.match is None:
            raise XaipruneError(
                f"space.parts.{part.name} has no condition, so it takes every layer; make it the last part"
            )
    defaults = attribution or AttributionConfig()
    fixed = {
        "between": "lrp",
        "softmax": "attnlrp",
        **{name: getattr(defaults, name) for name in ("start", "aggregate", "image_weight", "normalize")},
    }
    dimensions = {name: _dimension(name, data.get(name, fixed[name])) for name in _CHOICES}
    return Space(parts=parts, depth=_depth(data), **dimensions)


def _section(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = data.get(key)
    if not isinstance(section, Mapping) or not section:
        raise XaipruneError(f"space.{key} must be a section with at least one entry; see conf/space/*.yaml")
    return section


def _option(name: str, data: Any) -> RuleOption:
    key = f"space.rules.{name}"
    if not isinstance(data, Mapping) or "rule" not in data:
        raise XaipruneError(f"{key} must say its rule: {{rule: epsilon, epsilon: 0.01}}")
    rule = str(data["rule"])
    _check_value(f"{key}.rule", rule, RULES)
    known = [p for p in RULES[rule].ranges if p != "beta"]
    _check_keys(key, data, ["rule", *known])
    parameters = {p: _numbers(f"{key}.{p}", value) for p, value in data.items() if p != "rule"}
    option = RuleOption(name, rule, parameters)  # type: ignore[arg-type]
    _try_bounds(key, option)
    return option


def _numbers(key: str, value: Any) -> dict[str, Number]:
    """A number for all layer types, or one for each."""
    types = get_args(LayerType)
    if isinstance(value, Mapping) and set(value) & set(types):
        _check_keys(key, value, types)
        if missing := [t for t in types if t not in value]:
            raise XaipruneError(f"{key} has no number for {missing[0]} layers")
        return {t: _number(f"{key}.{t}", value[t]) for t in types}
    return {ANY: _number(key, value)}


def _number(key: str, value: Any) -> Number:
    if isinstance(value, Mapping):
        _check_keys(key, value, ("low", "high", "log"))
        if "low" not in value or "high" not in value:
            raise XaipruneError(f"{key} must give low and high")
        low, high = _float(f"{key}.low", value["low"]), _float(f"{key}.high", value["high"])
        log = bool(value.get("log", False))
        if low >= high or (log and low <= 0):
            above = " above zero" if log else ""
            raise XaipruneError(f"{key}: low must lie below high{above}, got {low:g} and {high:g}")
        return Range(low, high, log)
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not value:
            raise XaipruneError(f"{key} must not be empty")
        return OneOf(tuple(_float(key, v) for v in value))
    return Fixed(_float(key, value))


def _float(key: str, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)  # YAML 1.1 reads 1e-6 as text
    except (TypeError, ValueError):
        raise XaipruneError(
            f"{key} must be a number, a list of numbers, or {{low: , high: , log: }}, got {value!r}"
        ) from None


def _try_bounds(key: str, option: RuleOption) -> None:
    """Refuse numbers that the rule would refuse in the middle of a study."""
    for parameter, by_type in option.parameters.items():
        for number in by_type.values():
            for value in _extremes(number):
                try:
                    rule_of(option, {parameter: value})
                except XaipruneError as error:
                    raise XaipruneError(f"{key}.{parameter}: {error}") from None


def _extremes(number: Number) -> tuple[float, ...]:
    if isinstance(number, Range):
        return number.low, number.high
    return number.values if isinstance(number, OneOf) else (number.value,)


def _part(name: str, data: Any, options: Mapping[str, RuleOption]) -> Part:
    key = f"space.parts.{name}"
    if not isinstance(data, Mapping):
        raise XaipruneError(f"{key} must be a section such as {{group: low}} or {{name: ['*.qkv']}}")
    _check_keys(key, data, ("rules", *_CONDITIONS))
    names = _texts(data.get("rules", list(options)))
    for option in names:
        _check_value(f"{key}.rules", option, options)
    if not names:
        raise XaipruneError(f"{key}.rules must name at least one rule")
    conditions: dict[str, Any] = {
        field: _texts(data[condition]) for condition, field in _CONDITIONS.items() if condition in data
    }
    try:
        match = Match(**conditions) if conditions else None
    except XaipruneError as error:
        raise XaipruneError(f"{key}: {error}") from None
    return Part(name, match, tuple(options[option] for option in names))


def _dimension(name: str, value: Any) -> Dimension:
    choices = _texts(value)
    if not choices:
        raise XaipruneError(f"space.{name} must name at least one of {', '.join(_CHOICES[name])}")
    for choice in choices:
        _check_value(f"space.{name}", choice, _CHOICES[name])
    return Dimension(choices)


def _depth(data: Mapping[str, Any]) -> tuple[float, float]:
    if "depth" not in data:
        return Composite().depth
    values = data["depth"]
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 2:
        raise XaipruneError(f"space.depth must be two fractions, where mid and high begin, got {values!r}")
    low, high = (_float("space.depth", value) for value in values)
    Composite(depth=(low, high))  # checks the range
    return low, high


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(v) for v in value)


def _check_keys(key: str, data: Mapping[str, Any], known: Iterable[str]) -> None:
    known = list(known)
    for name in data:
        if name not in known:
            closest = did_you_mean(str(name), known) or f"; it has {', '.join(known)}"
            raise XaipruneError(f"unknown key '{key}.{name}'{closest}")


def _check_value(key: str, value: str, known: Iterable[str]) -> None:
    known = list(known)
    if value not in known:
        closest = did_you_mean(value, known)
        raise XaipruneError(f"{key} must be one of {', '.join(known)}, got '{value}'{closest}")
