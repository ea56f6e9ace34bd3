"""A search space: which rules and parameters each part of a network may get, as data.

A space is read from YAML (`reader`), reduced to what matters on one network (`reduce`), sampled (`sample`),
and asked which point a given recipe is (`inverse`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xaiprune.attribution import Composite, Match
from xaiprune.attribution.lrp import DepthGroup, LayerInfo, LayerType, Rule
from xaiprune.recipe import Recipe
from xaiprune.registry import RULES
from xaiprune.space.dimensions import DIMENSIONS, Choice
from xaiprune.space.numbers import Number, is_searched

INHERIT = "inherit"  # in place of a rule's name: the layer has its part's
ANY = ""  # in place of a layer type: a parameter that is the same for all types


@dataclass(frozen=True)
class RuleOption:
    """A rule that a part may get.

    Attributes:
        name: As the parameter ``<part>.rule`` says it.
        rule: The LRP rule's name.
        parameters: Parameter -> layer type -> number; the type is `ANY` where all types share the number.
        base: Sets the parameters that ``parameters`` does not list; None: the rule's defaults.
    """

    name: str
    rule: str
    parameters: Mapping[str, Mapping[LayerType | str, Number]] = field(default_factory=dict)
    base: Rule | None = None

    def make(self, numbers: Mapping[str, float]) -> Rule:
        """The rule with its numbers filled in.

        Raises:
            XaipruneError: A number is out of the rule's range.
        """
        if self.base is not None and not numbers:
            return self.base
        given = {} if self.base is None else self.base.parameters()
        rule: type[Rule] = RULES.find(self.rule)
        return rule.from_numbers(**{**given, **numbers})

    def for_type(self, layer_type: LayerType) -> RuleOption:
        """The same option with the numbers of one layer type."""
        own = {
            name: {ANY: by_type[ANY] if ANY in by_type else by_type[layer_type]}
            for name, by_type in self.parameters.items()
        }
        return replace(self, parameters=own)

    @property
    def per_type(self) -> bool:
        """Whether convolutions and linear layers get numbers of their own."""
        return any(ANY not in numbers for numbers in self.parameters.values())

    def parameter_name(self, part: str, parameter: str, layer_type: str = ANY) -> str:
        """The name that Optuna and people see: ``low.gamma``, ``low.gamma.conv``."""
        # Two options of one rule (weak and strong gamma) must not share a parameter of different ranges.
        own = [] if self.name == self.rule else [self.name]
        return ".".join([part, *own, parameter, *([layer_type] if layer_type else [])])


@dataclass(frozen=True)
class Part:
    """Layers that share a rule.

    Attributes:
        name: Leads the parameters' names: ``low`` in ``low.rule``.
        match: Which layers; None: all that no earlier part has.
        options: Rules to choose from.
        layers: The network's layers of this part whose rule matters; empty until `reduce` has seen one.
    """

    name: str
    match: Match | None
    options: tuple[RuleOption, ...]
    layers: tuple[LayerInfo, ...] = ()

    @property
    def types(self) -> tuple[LayerType, ...]:
        """Layer types that occur, convolutions first."""
        found = {layer.type for layer in self.layers}
        return tuple(t for t in ("conv", "linear") if t in found)  # type: ignore[misc]

    def without(self, names: Collection[str]) -> Part:
        """The part less the layers of these names."""
        return replace(self, layers=tuple(layer for layer in self.layers if layer.name not in names))


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        parts: In order; a layer belongs to the first that matches.
        depth: Where the depth groups mid and high begin (`Composite.depth`).
        choices: What there is of each dimension (`xaiprune.space.dimensions`), by name.
        rate: `Recipe.rate`; None: not searched.
        scale: `Recipe.scale`: depth group or unit layer -> factor; what is left out has 1.
        scale_each: A factor for every unit layer that ``scale`` does not name, until `reduce` names them;
            times that of the recipe in ``around``.
        each: Rules that a layer may have in place of its part's, and which layers; None: every layer has
            its part's.
        own: One part for each of those layers, named like it; empty until `reduce` has seen a network.
        groups: `Composite.groups`.
        treatment: What a composite has in place of ``between`` and ``softmax`` (its four treatments); empty:
            these two decide.
        centre: The recipe that the space lies around.
        around: The file that the centre comes from.
        configured: What counts where a recipe leaves a dimension open, by its name (``references``: how many
            there are of a class), the ``rate`` that trials are measured at (None: several), and whether
            layers that share their channels are ranked by the sum of their scores (``coupled``). `reduce`
            fills it in.
    """

    parts: tuple[Part, ...]
    depth: tuple[float, float]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    rate: Number | None = None
    scale: Mapping[str, Number] = field(default_factory=dict)
    scale_each: Number | None = None
    each: Part | None = None
    own: tuple[Part, ...] = ()
    groups: Mapping[DepthGroup, tuple[str, ...]] = field(default_factory=dict)
    treatment: Mapping[str, str] = field(default_factory=dict)
    centre: Recipe | None = None
    around: str = ""
    configured: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Choice:
        """What there is of a dimension."""
        return self.choices.get(name, Choice())

    def dimensions(self) -> dict[str, Choice]:
        """The choices that are one for the whole network, by parameter name, in the order they are asked."""
        return {dimension.name: self[dimension.name] for dimension in DIMENSIONS}

    def meant(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """What was chosen, with the configured values of what was left open."""
        return {**self.configured, **{name: value for name, value in chosen.items() if value is not None}}

    def numbers(self) -> dict[str, Number]:
        """The numbers that are one for the whole network, by parameter name."""
        rate = {} if self.rate is None else {"rate": self.rate}
        return {f"scale.{name}": number for name, number in self.scale.items()} | rate

    def searched(self) -> list[str]:
        """Parameters that a trial may be asked for: rules, and numbers by their names."""
        names = [
            f"{part.name}.rule"
            for part in (*self.own, *self.parts)
            if part in self.own or len(part.options) > 1
        ]
        for part in (*self.own, *self.parts):
            for option in part.options:
                for parameter, by_type in option.parameters.items():
                    names += [
                        option.parameter_name(part.name, parameter, layer_type)
                        for layer_type, number in by_type.items()
                        if is_searched(number) and (layer_type == ANY or layer_type in part.types)
                    ]
        names += [name for name, dimension in self.dimensions().items() if dimension.searched]
        return names + [name for name, number in self.numbers().items() if is_searched(number)]

    def frame(self) -> Composite:
        """A composite that counts layers to the space's depth groups."""
        return Composite(depth=self.depth, groups=self.groups)
