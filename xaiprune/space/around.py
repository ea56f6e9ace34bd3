"""The neighbourhood of a composite: the same rules, with their parameters varied by at most a factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xaiprune.attribution import Composite, Match
from xaiprune.attribution.lrp import Rule
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS, RENAMED_PRESETS, Recipe, preset, read_recipe
from xaiprune.space.dimensions import recipe_with
from xaiprune.space.numbers import Fixed, Number, Range, nearest
from xaiprune.space.space import ANY, Part, RuleOption, Space

CENTRE = "centre"


@dataclass(frozen=True)
class KnownRecipe:
    """A composite from a file or a preset, and the rest of its recipe as far as the file has it.

    Attributes:
        path: The file or preset, as it was asked for.
        composite: Named after the file, so that errors about it name the file.
        choices: As in a space: ``start``, ``aggregate``, ..., ``scale``; one value each. How the ranking is
            used (order, compensation, ...) is the session's, which begins with all of the recipe.
    """

    path: str
    composite: Composite
    choices: Mapping[str, Any]


def known_recipe(path: Any) -> KnownRecipe:
    """Read what a space lies around.

    Args:
        path: ``space.around``: a composite file, or the name of a preset. A file that a study wrote
            (``best.yaml``, `xaiprune export`) brings its start, aggregation and so on along, and so does a
            preset; for a composite alone ``attribution.*`` sets them.

    Raises:
        XaipruneError: No file is named, it is missing, or it is no composite.
    """
    if not isinstance(path, str) or not path:
        raise XaipruneError(
            "space.around must name a composite file, such as a study's "
            "(space=refine space.around=studies/NAME/best.yaml), or a preset"
        )
    file = Path(path).expanduser()
    if path in (*PRESETS, *RENAMED_PRESETS) and not file.exists():
        recipe = preset(path)
        return KnownRecipe(path, recipe.composite.renamed(path), recipe.attribution)
    found = read_recipe(file)
    if isinstance(found, Composite):
        return KnownRecipe(path, found.renamed(path), {})
    further = {"scale": dict(found.scale), "references": found.references}
    choices = found.attribution | {key: value for key, value in further.items() if value}
    return KnownRecipe(path, found.composite.renamed(path), choices)


def parts_around(composite: Composite, factor: float) -> tuple[Part, ...]:
    """One part for each of a composite's entries: its rule, and that rule's number within a factor.

    Args:
        composite: The one to vary.
        factor: From 1. A number x becomes the range x / factor to x * factor, as far as the rule allows it,
            on a log scale; zero is not varied, and with 1 nothing is.

    Raises:
        XaipruneError: The factor is too small.
    """
    if factor < 1:
        raise XaipruneError(
            f"space.factor must be 1 or above, got {factor:g}: numbers vary from x / factor to x * factor"
        )
    parts: dict[str, Part] = {}
    for match, rule in composite.layers:
        name = _name(match)
        parts.setdefault(name, Part(name, match, (_option(rule, factor),)))
    return (*parts.values(), Part("default", None, (_option(composite.default, factor),)))


def centre_of(known: KnownRecipe, space: Space) -> Recipe:
    """The recipe itself, or the nearest one that the space contains."""
    given, chosen = known.choices, {}
    for name, choice in space.dimensions().items():
        chosen[name] = given[name] if given.get(name) in choice.choices else choice.first
    return recipe_with(
        known.composite.renamed(CENTRE),
        chosen,
        scale=given.get("scale", {}),  # `reduce` brings it into the space, once it knows the unit layers
        rate=None if space.rate is None else nearest(space.rate, given.get("rate", 0.5)),
    )


def check_around(space: Space, names: list[str]) -> None:
    """Refuse a neighbourhood without anything in it.

    Args:
        space: As reduced to a network.
        names: Of what it searches.

    Raises:
        XaipruneError: Nothing is searched.
    """
    if space.centre is None or names:
        return
    raise XaipruneError(
        f"space.around={space.around} has nothing to vary on this network: its rules "
        f"({', '.join(dict.fromkeys(part.options[0].name for part in space.parts))}) have no numbers, zeros, "
        "or numbers that space.factor=1 keeps; choose another composite or factor, space=balance or "
        "space=depth_groups"
    )


def _name(match: Match) -> str:
    """As the parameter says it: ``low``, ``low.conv``, ``blocks.0.mlp.fc1``."""
    return ".".join("|".join(part) for part in (match.groups, match.types, match.names) if part)


def _option(rule: Rule, factor: float) -> RuleOption:
    parameter = rule.main
    if parameter is None:
        return RuleOption(rule.name, rule.name, base=rule)
    value, (lowest, highest) = getattr(rule, parameter), rule.ranges[parameter]
    number: Number = Fixed(value)
    if value > 0 and factor > 1:
        number = Range(max(value / factor, lowest), min(value * factor, highest), log=True)
    return RuleOption(rule.name, rule.name, {parameter: {ANY: number}}, base=rule)
