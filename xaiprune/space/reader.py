"""Spaces from YAML (``conf/space/*.yaml``, or the ``space`` section of a configuration)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from xaiprune.attribution import Composite, Match
from xaiprune.attribution.lrp import RULES, DepthGroup, LayerType
from xaiprune.config import AttributionConfig
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PAPER
from xaiprune.space.around import centre_of, known_recipe, parts_around
from xaiprune.space.dimensions import DIMENSIONS, Choice
from xaiprune.space.numbers import Number
from xaiprune.space.space import ANY, INHERIT, Part, RuleOption, Space
from xaiprune.space.values import check_keys, check_value, extremes, float_of, number_of, texts

SCHEMA = "xaiprune/space/1"
_RECIPE = (*(d.name for d in DIMENSIONS if d.field), "rate", "scale")
_TREATMENT = tuple(d.name for d in DIMENSIONS if not d.field)
_KEYS = ("schema", "depth", "rules", "parts", "each", *_TREATMENT, *_RECIPE)
_AROUND_KEYS = ("schema", "around", "factor", *_RECIPE)
EACH = "each"  # of space.scale: every unit layer
_CONDITIONS = {"name": "names", "type": "types", "group": "groups"}


def read_space(data: Mapping[str, Any], attribution: AttributionConfig | None = None) -> Space:
    """The space that plain data describes.

    Args:
        data: The ``space`` section: ``rules`` and ``parts``, or the file that it lies ``around``. A choice
            that is not there (``start: [...]``), or null, is not searched.
        attribution: Sets what the space does not list; what it leaves open is the paper's.

    Raises:
        XaipruneError: Names the key and what it must be, or the file that cannot be used.
    """
    if data.get("schema") != SCHEMA:
        raise XaipruneError(
            f"space.schema is {data.get('schema')!r}, this xaiprune reads '{SCHEMA}'; upgrade xaiprune, "
            "or see docs/spaces.md for how a space is written"
        )
    return _around(data, attribution) if _is_around(data) else _of_parts(data, attribution)


def _is_around(data: Mapping[str, Any]) -> bool:
    if "around" not in data and "factor" not in data:
        return False
    for key in ("rules", "parts", "each", "depth", *_TREATMENT):
        if key in data:
            raise XaipruneError(
                f"space.{key} does not go with space.around, which takes it from its file; use space=refine"
            )
    check_keys("space", data, _AROUND_KEYS)
    return True


def _of_parts(data: Mapping[str, Any], attribution: AttributionConfig | None) -> Space:
    check_keys("space", data, _KEYS)
    rules = _section(data, "rules")
    options = {str(name): _option(str(name), rule) for name, rule in rules.items()}
    if INHERIT in options:
        raise XaipruneError(f"space.rules.{INHERIT}: the name is taken, for a layer that has its part's rule")
    parts = tuple(
        _part(f"space.parts.{name}", str(name), part or {}, options)
        for name, part in _section(data, "parts").items()
    )
    for part in parts[:-1]:
        if part.match is None:
            raise XaipruneError(
                f"space.parts.{part.name} has no condition, so it takes every layer; make it the last part"
            )
    each = _part("space.each", "each", data["each"] or {}, options) if "each" in data else None
    return _complete(Space(parts, _depth(data), each=each), data, attribution)


def _around(data: Mapping[str, Any], attribution: AttributionConfig | None) -> Space:
    known = known_recipe(data.get("around"))
    composite = known.composite
    space = Space(
        parts_around(composite, float_of("space.factor", data.get("factor", 10))),
        composite.depth,
        groups=composite.groups,
        treatment={key: getattr(composite, key) for key in ("softmax", "activation", "norm", "product")},
        around=known.path,
    )
    try:
        check_keys("provenance", known.choices, _RECIPE)
        _complete(space, known.choices, attribution)
    except XaipruneError as error:
        raise XaipruneError(f"space.around={known.path}: {error}") from None
    scale = _section_of_factors(data.get("scale", {}))
    kept = known.choices.get("scale", {})
    if EACH in scale:  # these are where the search begins (`centre_of`)
        kept = {name: factor for name, factor in kept.items() if name in get_args(DepthGroup)}
    scale = {**kept, **scale}
    space = _complete(space, {**known.choices, **data, "scale": scale}, attribution)
    return replace(space, centre=centre_of(known, space))


def _complete(space: Space, data: Mapping[str, Any], attribution: AttributionConfig | None) -> Space:
    """The space with all that is not about the rules of layers."""
    defaults = attribution or AttributionConfig()
    given = {key: getattr(defaults, key) or value for key, value in PAPER.attribution.items()}
    defaults = replace(defaults, **given)
    choices = {}
    for dimension in DIMENSIONS:
        value = data.get(dimension.name)
        value = dimension.default(defaults) if value is None else value
        if value is not None:
            choices[dimension.name] = Choice(dimension.read(f"space.{dimension.name}", value))
    scale = _scale(data.get("scale", defaults.scale))
    each = scale.pop(EACH, None)
    return replace(
        space,
        choices=choices,
        rate=_rate(data["rate"]) if data.get("rate") is not None else None,
        scale=scale,
        scale_each=each,
    )


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
    check_value(f"{key}.rule", rule, RULES)
    known = RULES[rule].searchable
    check_keys(key, data, ["rule", *known])
    parameters = {p: _numbers(f"{key}.{p}", value) for p, value in data.items() if p != "rule"}
    option = RuleOption(name, rule, parameters)
    _try_bounds(key, option)
    return option


def _numbers(key: str, value: Any) -> dict[LayerType | str, Number]:
    """A number for all layer types, or one for each."""
    types = get_args(LayerType)
    if isinstance(value, Mapping) and set(value) & set(types):
        check_keys(key, value, types)
        if missing := [t for t in types if t not in value]:
            raise XaipruneError(f"{key} has no number for {missing[0]} layers")
        return {t: number_of(f"{key}.{t}", value[t]) for t in types}
    return {ANY: number_of(key, value)}


def _try_bounds(key: str, option: RuleOption) -> None:
    """Refuse numbers that the rule would refuse in the middle of a study."""
    for parameter, by_type in option.parameters.items():
        for number in by_type.values():
            for value in extremes(number):
                try:
                    option.make({parameter: value})
                except XaipruneError as error:
                    raise XaipruneError(f"{key}.{parameter}: {error}") from None


def _part(key: str, name: str, data: Any, options: Mapping[str, RuleOption]) -> Part:
    if not isinstance(data, Mapping):
        raise XaipruneError(f"{key} must be a section such as {{group: low}} or {{name: ['*.qkv']}}")
    check_keys(key, data, ("rules", *_CONDITIONS))
    names = texts(data.get("rules", list(options)))
    for option in names:
        check_value(f"{key}.rules", option, options)
    if not names:
        raise XaipruneError(f"{key}.rules must name at least one rule")
    conditions: dict[str, Any] = {
        field: texts(data[condition]) for condition, field in _CONDITIONS.items() if condition in data
    }
    try:
        match = Match(**conditions) if conditions else None
    except XaipruneError as error:
        raise XaipruneError(f"{key}: {error}") from None
    return Part(name, match, tuple(options[option] for option in dict.fromkeys(names)))


def _rate(value: Any) -> Number:
    number = number_of("space.rate", value)
    for rate in extremes(number):
        if not 0 <= rate < 1:
            raise XaipruneError(f"space.rate must lie in [0, 1), it is the fraction removed, got {rate:g}")
    return number


def _scale(data: Any) -> dict[str, Number]:
    """By depth group, unit layer (which layers there are, `reduce` knows), and `EACH`."""
    data = _section_of_factors(data)
    scale: dict[str, Number] = {}
    for name in (*get_args(DepthGroup), *sorted(set(data) - set(get_args(DepthGroup)))):  # in one order
        if name in data:
            # Factors of 1/10 and 10 are as far from 1.
            scale[name] = number_of(f"space.scale.{name}", data[name], log=True)
            if min(extremes(scale[name])) <= 0:
                raise XaipruneError(f"space.scale.{name} must be above zero, it is a factor of scores")
    return scale


def _section_of_factors(data: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise XaipruneError(
            "space.scale must be a section of depth groups or unit layers, such as "
            f"{{low: {{low: 0.1, high: 10}}}} or {{each: {{low: 0.3, high: 3}}}}, got {data!r}"
        )
    return {str(name): value for name, value in data.items()}


def _depth(data: Mapping[str, Any]) -> tuple[float, float]:
    if "depth" not in data:
        return Composite().depth
    values = data["depth"]
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 2:
        raise XaipruneError(f"space.depth must be two fractions, where mid and high begin, got {values!r}")
    low, high = (float_of("space.depth", value) for value in values)
    Composite(depth=(low, high))  # checks the range
    return low, high
