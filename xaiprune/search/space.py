"""A search space: which rules and parameters each part of a network may get, as data.

A space is read from YAML (`space_io`), reduced to what matters on one network (`reduce`), suggested from
(`suggest`), and asked which point a known composite is (`inverse`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from optuna.trial import BaseTrial

from xaiprune.attribute.lrp.composite import LayerInfo, LayerType, Match

BETWEEN = ("lrp", "gradient")
ANY = ""  # in place of a layer type: a parameter that is the same for all types


@dataclass(frozen=True)
class Fixed:
    """A number that is not searched."""

    value: float

    def suggest(self, trial: BaseTrial, name: str) -> float:
        return self.value

    def contains(self, value: float) -> bool:
        return abs(value - self.value) <= 1e-9 * abs(self.value)

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Range:
    """A number between ``low`` and ``high``, both included, drawn evenly on a linear or logarithmic scale."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: BaseTrial, name: str) -> float:
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class OneOf:
    """One of several numbers."""

    values: tuple[float, ...]

    def suggest(self, trial: BaseTrial, name: str) -> float:
        return float(trial.suggest_categorical(name, self.values))

    def contains(self, value: float) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return f"one of {', '.join(f'{value:g}' for value in self.values)}"


Number = Fixed | Range | OneOf


@dataclass(frozen=True)
class RuleOption:
    """A rule that a part may get.

    Attributes:
        name: As the parameter ``<part>.rule`` says it.
        rule: The LRP rule's name.
        parameters: Parameter -> layer type -> number; the type is `ANY` where all types share the number.
            An alphabeta rule has alpha only: beta is alpha - 1.
    """

    name: str
    rule: str
    parameters: dict[str, dict[LayerType | str, Number]] = field(default_factory=dict)

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


@dataclass(frozen=True)
class Dimension:
    """A choice that is one for the whole network.

    Attributes:
        choices: What there is to choose from; a single one is not searched.
        matters: False where the choice changes nothing on this network; the first is taken then.
    """

    choices: tuple[str, ...]
    matters: bool = True

    @property
    def searched(self) -> bool:
        return self.matters and len(self.choices) > 1

    def suggest(self, trial: BaseTrial, name: str) -> str:
        return str(trial.suggest_categorical(name, self.choices)) if self.searched else self.choices[0]


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        parts: In order; a layer belongs to the first that matches.
        depth: Where the depth groups mid and high begin (`Composite.depth`).
        between: Everything but linear layers: ``lrp`` (activations pass relevance on, LayerNorm's deviation
            is a constant, products are split) or ``gradient`` (the plain gradient of all of them).
        softmax: `Composite.softmax`, where ``between`` is ``lrp``.
        start: Relevance at the logits.
        aggregate: `Aggregation.mode`.
        image_weight: `Aggregation.image_weight`.
        normalize: `Aggregation.normalize`.
    """

    parts: tuple[Part, ...]
    depth: tuple[float, float]
    between: Dimension
    softmax: Dimension
    start: Dimension
    aggregate: Dimension
    image_weight: Dimension
    normalize: Dimension

    def dimensions(self) -> dict[str, Dimension]:
        """The choices that are one for the whole network, by parameter name, in the order they are asked."""
        names = ("between", "softmax", "start", "aggregate", "image_weight", "normalize")
        return {name: getattr(self, name) for name in names}
