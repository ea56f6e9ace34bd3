"""From a space to what one trial tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.trial import BaseTrial

from xaiprune.attribution.lrp.composite import LayerType, Match
from xaiprune.attribution.lrp.rules import Rule
from xaiprune.recipe import Recipe
from xaiprune.space.dimensions import DIMENSIONS, competes, recipe_with, treatment
from xaiprune.space.space import ANY, INHERIT, Part, RuleOption, Space


def suggest(trial: BaseTrial, space: Space) -> Recipe:
    """Ask a trial for a point of the space.

    Args:
        trial: Of a running study, or an `optuna.trial.FixedTrial`.
        space: As reduced to the network (`xaiprune.space.reduce`). A parameter is asked for only where it
            has something to say: gamma where the rule is gamma, softmax where there is attention.
    """
    # Layers first: a part of which every layer has a rule of its own has nothing left to say.
    own = _own_rules(trial, space)
    entries, default = _part_rules(trial, space, {match.names[0] for match, _ in own})
    entries = own + entries
    chosen: dict[str, Any] = {}
    for dimension in DIMENSIONS:
        choice = space[dimension.name]
        chosen[dimension.name] = dimension.suggest(trial, choice, space.meant(chosen))
    between: Mapping[str, Any] = space.treatment or treatment(chosen)
    composite = replace(space.frame(), layers=tuple(entries), **between)
    if default is not None:
        composite = replace(composite, default=default)
    scale = space.scale if competes(space.meant(chosen)) else {}
    return recipe_with(
        composite.renamed(f"trial {trial.number}"),
        chosen,
        scale={name: number.suggest(trial, f"scale.{name}") for name, number in scale.items()},
        rate=None if space.rate is None else space.rate.suggest(trial, "rate"),
    )


def _own_rules(trial: BaseTrial, space: Space) -> list[tuple[Match, Rule]]:
    """Entries of the layers that do not inherit their part's rule."""
    entries = []
    for part in space.own:
        names = [INHERIT, *(option.name for option in part.options)]
        chosen = trial.suggest_categorical(f"{part.name}.rule", names)
        for option in part.options:
            if option.name == chosen:
                entries.append((_match(part, ANY), _rule(trial, part, option, ANY)))
    return entries


def _part_rules(
    trial: BaseTrial, space: Space, taken: set[str]
) -> tuple[list[tuple[Match, Rule]], Rule | None]:
    """Entries of the parts, and the rule of the part that matches everything."""
    entries: list[tuple[Match, Rule]] = []
    default: Rule | None = None
    for whole in space.parts:
        part = whole.without(taken)
        if not part.layers:
            continue
        option = _option(trial, part)
        for layer_type in part.types if option.per_type else (ANY,):
            rule = _rule(trial, part, option, layer_type)
            if part.match is None and not layer_type:
                default = rule
            else:
                entries.append((_match(part, layer_type), rule))
    return entries, default


def _option(trial: BaseTrial, part: Part) -> RuleOption:
    if len(part.options) == 1:
        return part.options[0]
    chosen = trial.suggest_categorical(f"{part.name}.rule", [option.name for option in part.options])
    return next(option for option in part.options if option.name == chosen)


def _rule(trial: BaseTrial, part: Part, option: RuleOption, layer_type: str) -> Rule:
    numbers = {}
    for parameter, by_type in option.parameters.items():
        shared = ANY in by_type
        name = option.parameter_name(part.name, parameter, ANY if shared else layer_type)
        numbers[parameter] = by_type[ANY if shared else layer_type].suggest(trial, name)
    return option.make(numbers)


def _match(part: Part, layer_type: LayerType | str) -> Match:
    types: tuple[Any, ...] = (layer_type,) if layer_type else ()
    return Match(types=types) if part.match is None else replace(part.match, types=types or part.match.types)
