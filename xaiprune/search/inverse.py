"""Which point of a space a known recipe is: how presets are enqueued, so that a sampler learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from xaiprune.attribute.lrp.composite import LayerInfo
from xaiprune.attribute.lrp.rules import Rule
from xaiprune.search.proposal import Proposal
from xaiprune.search.space import ANY, Number, OneOf, Part, Range, RuleOption, Space
from xaiprune.search.suggest import GRADIENT, rule_of

_LRP = {"activation": "identity", "norm": "detach", "product": "uniform"}


class NotInSpace(Exception):
    """A recipe that no parameters of the space give; the message says what is missing."""


def params_of(space: Space, proposal: Proposal) -> dict[str, Any]:
    """The parameters for which `suggest` gives a proposal that ranks units as this one does.

    Args:
        space: As reduced to the network.
        proposal: Or a preset, which has the same attributes.

    Raises:
        NotInSpace: There are none.
    """
    params: dict[str, Any] = {}
    composite = proposal.composite
    for part in space.parts:
        params |= _part_params(part, [(layer, composite.rule_for(layer)) for layer in part.layers])
    params |= _between_params(space, proposal)
    aggregation = proposal.aggregation
    for name, value in (
        ("start", proposal.start),
        ("aggregate", aggregation.mode),
        ("image_weight", aggregation.image_weight),
        ("normalize", aggregation.normalize),
    ):
        params |= _choice(space, name, value)
    return params


def _part_params(part: Part, rules: Sequence[tuple[LayerInfo, Rule]]) -> dict[str, Any]:
    for option in part.options:
        numbers = _fit(part, option, rules)
        if numbers is not None:
            named = {f"{part.name}.rule": option.name} if len(part.options) > 1 else {}
            return named | numbers
    asked = " and ".join(sorted({str(rule) for _, rule in rules}))
    raise NotInSpace(f"{part.name} cannot be {asked}")


def _fit(part: Part, option: RuleOption, rules: Sequence[tuple[LayerInfo, Rule]]) -> dict[str, float] | None:
    """The option's parameters that give every layer its rule; None where there are none."""
    params: dict[str, float] = {}
    for layer, rule in rules:
        if rule.name != option.rule:
            return None
        wanted: dict[str, float] = {}
        for parameter, by_type in option.parameters.items():
            layer_type = ANY if ANY in by_type else layer.type
            number, value = by_type[layer_type], float(getattr(rule, parameter))
            if not number.contains(value):
                return None
            wanted[parameter] = value
            if _searched(number):
                name = option.parameter_name(part.name, parameter, layer_type)
                if params.setdefault(name, value) != value:
                    return None
        if not _same(rule_of(option, wanted), rule):
            return None
    return params


def _same(one: Rule, other: Rule) -> bool:
    """Equal but for rounding."""
    ours, theirs = asdict(one), asdict(other)
    return all(
        abs(ours[key] - value) <= 1e-9 * abs(value) if isinstance(value, float) else ours[key] == value
        for key, value in theirs.items()
    )


def _searched(number: Number) -> bool:
    return isinstance(number, Range | OneOf)


def _between_params(space: Space, proposal: Proposal) -> dict[str, Any]:
    composite = proposal.composite
    has = {key: getattr(composite, key) for key in ("softmax", *_LRP)}
    if has == GRADIENT:
        return _choice(space, "between", "gradient")
    if space.between.matters and any(has[key] != value for key, value in _LRP.items()):
        raise NotInSpace("between linear layers it mixes LRP with plain gradients")
    return _choice(space, "between", "lrp") | _choice(space, "softmax", has["softmax"])


def _choice(space: Space, name: str, value: str) -> dict[str, str]:
    dimension = space.dimensions()[name]
    if not dimension.matters:
        return {}
    if value not in dimension.choices:
        raise NotInSpace(f"{name} cannot be {value}")
    return {name: value} if dimension.searched else {}
