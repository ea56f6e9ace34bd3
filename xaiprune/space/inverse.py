"""Which point of a space a given recipe is: how presets are enqueued, so that a sampler learns from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from xaiprune.attribution.lrp import LayerInfo, Rule
from xaiprune.recipe import Recipe
from xaiprune.space.dimensions import DIMENSIONS, GRADIENT, competes
from xaiprune.space.numbers import Number, is_searched
from xaiprune.space.space import ANY, INHERIT, Part, RuleOption, Space

_LRP = {"activation": "identity", "norm": "detach", "product": "uniform"}
_Rules = Mapping[LayerInfo, Rule]


class NotInSpace(Exception):
    """A recipe that no parameters of the space give; the message says what is missing."""


def params_of(space: Space, recipe: Recipe) -> dict[str, Any]:
    """The parameters for which `suggest` gives a recipe that ranks units as this one does.

    Args:
        space: As reduced to the network.
        recipe: Fields that it does not set (references, scope, compensation, rate) have the configured value.

    Raises:
        NotInSpace: There are none.
    """
    params: dict[str, Any] = {}
    composite = recipe.composite
    own = {part.name: part for part in space.own}
    for part in space.parts:
        params |= _part_params(part, own, {layer: composite.rule_for(layer) for layer in part.layers})
    _check_treatment(space, recipe)
    values = space.meant({dimension.name: dimension.of(recipe) for dimension in DIMENSIONS})
    for dimension in DIMENSIONS:
        taken = space.treatment and not dimension.field  # from the composite that the space lies around
        if not taken and space[dimension.name].matters and dimension.asked(values):
            params |= _choice(space, dimension.name, values[dimension.name])
    if competes(values):
        params |= _scale(space, recipe)
    return params | _rate(space, space.configured["rate"] if recipe.rate is None else recipe.rate)


@dataclass(frozen=True)
class _Fit:
    """How a part gives layers their rules.

    Attributes:
        option: The part's rule.
        numbers: Its parameters, by name.
        others: Layers that need a rule of their own.
    """

    option: RuleOption
    numbers: Mapping[str, float]
    others: frozenset[LayerInfo]


def _part_params(part: Part, own: Mapping[str, Part], rules: _Rules) -> dict[str, Any]:
    fits = [_fit(part, option, own, rules) for option in part.options]
    found = [fit for fit in fits if fit is not None]
    if not found:
        asked = " and ".join(sorted({str(rule) for rule in rules.values()}))
        raise NotInSpace(f"{part.name} cannot be {asked}")
    best = min(found, key=lambda fit: len(fit.others))  # the first of equals
    params: dict[str, Any] = {}
    if len(best.others) < len(rules):
        named = {f"{part.name}.rule": best.option.name} if len(part.options) > 1 else {}
        params = named | dict(best.numbers)
    for layer in rules:
        if layer in best.others:
            params |= _own_params(own[layer.name], layer, rules[layer])
        elif layer.name in own:
            params[f"{layer.name}.rule"] = INHERIT
    return params


def _fit(part: Part, option: RuleOption, own: Mapping[str, Part], rules: _Rules) -> _Fit | None:
    """The option's numbers that suit most layers; None where a layer that they do not suit has no others."""
    wanted = {layer: _numbers(part, option, layer, rule) for layer, rule in rules.items()}
    counted = Counter(tuple(sorted(found.items())) for found in wanted.values() if found is not None)
    # Layers that have no choice of their own decide first.
    bound = [wanted[layer] for layer in rules if layer.name not in own]
    numbers: dict[str, float] = {}
    for found in [*bound, *(dict(items) for items, _ in counted.most_common())]:
        if found is not None and all(numbers.get(key, value) == value for key, value in found.items()):
            numbers |= found
    others = set()
    for layer, found in wanted.items():
        if found is not None and found.items() <= numbers.items():
            continue
        if layer.name not in own or not _has(own[layer.name], layer, rules[layer]):
            return None
        others.add(layer)
    return _Fit(option, numbers, frozenset(others))


def _has(part: Part, layer: LayerInfo, rule: Rule) -> bool:
    return any(_numbers(part, option, layer, rule) is not None for option in part.options)


def _own_params(part: Part, layer: LayerInfo, rule: Rule) -> dict[str, Any]:
    for option in part.options:
        numbers = _numbers(part, option, layer, rule)
        if numbers is not None:
            return {f"{part.name}.rule": option.name} | numbers
    raise NotInSpace(f"{part.name} cannot be {rule}")


def _numbers(part: Part, option: RuleOption, layer: LayerInfo, rule: Rule) -> dict[str, float] | None:
    """The option's parameters that give one layer its rule; None where there are none."""
    if rule.name != option.rule:
        return None
    params: dict[str, float] = {}
    wanted: dict[str, float] = {}
    for parameter, by_type in option.parameters.items():
        layer_type = ANY if ANY in by_type else layer.type
        number, value = by_type[layer_type], float(getattr(rule, parameter))
        if not number.contains(value):
            return None
        wanted[parameter] = value
        if is_searched(number):
            params[option.parameter_name(part.name, parameter, layer_type)] = value
    return params if _same(option.make(wanted), rule) else None


def _same(one: Rule, other: Rule) -> bool:
    """Equal but for rounding."""
    ours, theirs = asdict(one), asdict(other)
    return all(
        abs(ours[key] - value) <= 1e-9 * abs(value) if isinstance(value, float) else ours[key] == value
        for key, value in theirs.items()
    )


def _check_treatment(space: Space, recipe: Recipe) -> None:
    """Refuse what neither ``between`` nor ``softmax`` can say, where it makes a difference."""
    has = {key: getattr(recipe.composite, key) for key in ("softmax", *_LRP)}
    if not space["between"].matters:
        return
    if space.treatment and has != dict(space.treatment):
        raise NotInSpace("between linear layers it is another treatment than that of space.around")
    if not space.treatment and has != GRADIENT and any(has[key] != value for key, value in _LRP.items()):
        raise NotInSpace("between linear layers it mixes LRP with plain gradients")


def _choice(space: Space, name: str, value: Any) -> dict[str, Any]:
    """The parameter of a dimension; a space without it has the configured value."""
    choice = space[name]
    if value not in (choice.choices or (space.configured[name],)):
        raise NotInSpace(f"{name} cannot be {value}")
    return {name: value} if choice.searched else {}


def _scale(space: Space, recipe: Recipe) -> dict[str, float]:
    for name, factor in recipe.scale.items():
        if name not in space.scale and factor != 1.0:
            raise NotInSpace(f"scale.{name} cannot be {factor:g}")
    params: dict[str, float] = {}
    for name, number in space.scale.items():
        params |= _number(f"scale.{name}", number, recipe.scale.get(name, 1.0))
    return params


def _rate(space: Space, value: float | None) -> dict[str, float]:
    if space.rate is None:
        if value != space.configured["rate"]:
            raise NotInSpace(f"rate cannot be {value}")
        return {}
    return _number("rate", space.rate, value)


def _number(name: str, number: Number, value: float | None) -> dict[str, float]:
    if value is None or not number.contains(value):
        raise NotInSpace(f"{name} cannot be {value}")
    return {name: value} if is_searched(number) else {}
