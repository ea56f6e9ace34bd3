"""From a space to what one trial tries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from optuna.trial import BaseTrial

from xaiprune.attribute import Aggregation, Composite
from xaiprune.attribute.lrp.composite import LayerType, Match, make_rule
from xaiprune.attribute.lrp.rules import Rule
from xaiprune.search.proposal import Proposal
from xaiprune.search.space import ANY, Part, RuleOption, Space

GRADIENT = {"softmax": "gradient", "activation": "gradient", "norm": "gradient", "product": "gradient"}


def suggest(trial: BaseTrial, space: Space) -> Proposal:
    """Ask a trial for a point of the space.

    Args:
        trial: Of a running study, or an `optuna.trial.FixedTrial`.
        space: As reduced to the network (`xaiprune.search.reduce`). A parameter is asked for only where it
            has something to say: gamma where the rule is gamma, softmax where there is attention.
    """
    entries: list[tuple[Match, Rule]] = []
    default: Rule | None = None
    for part in space.parts:
        option = _option(trial, part)
        for layer_type in part.types if option.per_type else (ANY,):
            rule = _rule(trial, part, option, layer_type)
            if part.match is None and not layer_type:
                default = rule
            else:
                entries.append((_match(part, layer_type), rule))
    chosen = {name: d.suggest(trial, name) for name, d in space.dimensions().items() if name != "softmax"}
    treatment: dict[str, Any] = GRADIENT
    if chosen["between"] == "lrp":
        treatment = {"softmax": space.softmax.suggest(trial, "softmax")}
    composite = Composite(layers=tuple(entries), depth=space.depth, **treatment)
    if default is not None:
        composite = replace(composite, default=default)
    return Proposal(
        composite.renamed(f"trial {trial.number}"),
        chosen["start"],  # type: ignore[arg-type]
        Aggregation(chosen["aggregate"], chosen["image_weight"], chosen["normalize"]),  # type: ignore[arg-type]
    )


def rule_of(option: RuleOption, numbers: dict[str, float]) -> Rule:
    """The rule of an option with its numbers filled in."""
    if option.rule == "alphabeta" and "alpha" in numbers:
        numbers = {**numbers, "beta": numbers["alpha"] - 1}
    return make_rule(option.rule, **numbers)


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
    return rule_of(option, numbers)


def _match(part: Part, layer_type: LayerType | str) -> Match:
    types: tuple[Any, ...] = (layer_type,) if layer_type else ()
    return Match(types=types) if part.match is None else replace(part.match, types=types or part.match.types)
