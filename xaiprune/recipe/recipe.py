"""A recipe: everything that turns a network and its reference images into a ranking of units, as data."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, get_args

from xaiprune.attribution import Aggregation, Composite, Relevance, Scores, Start, aggregate
from xaiprune.attribution.lrp import DepthGroup, LayerInfo, composite_from_dict, composite_to_dict
from xaiprune.config import RECIPE_PRUNE
from xaiprune.errors import XaipruneError
from xaiprune.pruning import BN, BUDGETS, COMPENSATIONS, ORDERS, PER, SCOPES
from xaiprune.recipe.scale import check_scale, unit_groups
from xaiprune.recipe.written import OPTIONAL
from xaiprune.units import UnitLayer

_NAMED = 4  # entries of single layers that are spelled out

# What relevance depends on: rules, initial relevance, and references a class.
AttributionKey = tuple[Composite, Start, int | None]


@dataclass(frozen=True)
class Recipe:
    """How units are ranked, and how the ranking is used.

    Attributes:
        composite: Which layer gets which rule.
        start: Initial relevance at the logits.
        aggregation: From relevance to scores.
        scale: Depth group or unit layer -> factor of its units' scores. Missing entries have factor 1; a
            layer that is named itself and by its group gets the product.
        references: Reference images a class, the first so many; None: all.
        budget: As ``prune.budget``; this and all that follow: None takes what is configured.
        scope: As ``prune.scope``.
        relevance_per: As ``prune.relevance_per``.
        compensate: As ``prune.compensate``.
        rate: Fraction removed.
        order: As ``prune.order``.
        rounds: As ``prune.rounds``.
        sequential: As ``prune.sequential``.
        bn: As ``prune.bn``.
        multiple: As ``prune.multiple``.
        units: The unit kind that it ranks; None: whichever is asked for.
        about: Where it comes from, for people; not stored, and without effect on equality.
    """

    composite: Composite
    start: Start = "logit"
    aggregation: Aggregation = field(default_factory=Aggregation)
    scale: Mapping[str, float] = field(default_factory=dict)
    references: int | None = None
    scope: str | None = None
    compensate: str | None = None
    rate: float | None = None
    order: str | None = None
    rounds: int | None = None
    sequential: bool | None = None
    bn: str | None = None
    relevance_per: str | None = None
    budget: str | None = None
    multiple: int | None = None
    units: str | None = None
    about: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        for key, choices in (
            ("budget", BUDGETS),
            ("scope", SCOPES),
            ("compensate", COMPENSATIONS),
            ("order", ORDERS),
            ("relevance_per", PER),
            ("bn", BN),
        ):
            value = getattr(self, key)
            if value is not None and value not in choices:
                raise XaipruneError(f"recipe: {key} must be one of {', '.join(choices)}, got '{value}'")
        if self.rounds is not None and self.rounds < 1:
            raise XaipruneError(f"recipe: rounds must be at least 1, got {self.rounds}")
        if self.multiple is not None and self.multiple < 1:
            raise XaipruneError(f"recipe: multiple must be at least 1, got {self.multiple}")
        for name, factor in self.scale.items():
            if not (factor > 0 and math.isfinite(factor)):
                raise XaipruneError(f"recipe: scale.{name} must be a factor above zero, got {factor}")

    @property
    def name(self) -> str:
        """What the recipe is called: its composite's name."""
        return self.composite.name

    @property
    def settings(self) -> dict[str, Any]:
        """The optional fields that are set, as plain data."""
        found = {key: getattr(self, key) for key in OPTIONAL}
        return {
            key: dict(value) if key == "scale" else value
            for key, value in found.items()
            if value is not None and value != {}
        }

    @property
    def prune(self) -> dict[str, Any]:
        """The keys of the ``prune`` section that the recipe sets, without the rate."""
        return {key: value for key in RECIPE_PRUNE if (value := getattr(self, key)) is not None}

    @property
    def attribution(self) -> dict[str, Any]:
        """Start and aggregation as the keys of the ``attribution`` section."""
        of = self.aggregation
        return {
            "start": self.start,
            "aggregate": of.mode,
            "image_weight": of.image_weight,
            "normalize": of.normalize,
        }

    @property
    def attribution_key(self) -> AttributionKey:
        """Equal for recipes that compute scores from the same relevance."""
        return self.composite, self.start, self.references

    @property
    def key(self) -> str:
        """16 characters, equal for recipes that mean the same, whatever they are called."""
        data = self.to_dict()
        del data["composite"]["name"]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def renamed(self, name: str) -> Recipe:
        """The same recipe under another name."""
        return replace(self, composite=self.composite.renamed(name))

    def signed(self) -> Recipe:
        """The same recipe with relevance summed with its sign."""
        return replace(self, aggregation=replace(self.aggregation, mode="signed"))

    def scores(self, relevance: Relevance, units: Sequence[UnitLayer], layers: Sequence[LayerInfo]) -> Scores:
        """One score per unit: aggregated relevance times the factors of its layer and depth group.

        Args:
            relevance: Under the recipe's composite.
            units: What relevance was read of.
            layers: The network's layers (`trace_layers`), which know how deep they lie.

        Returns:
            Unit layer -> (units,) float64; higher is more relevant. Factors do not change the order within a
            layer.

        Raises:
            XaipruneError: Relevance is not finite, a factor belongs to no unit layer, or one belongs to a
                depth group and a unit layer belongs to no layer.
        """
        factors = self.factors(units, layers)
        return {name: own * factors[name] for name, own in aggregate(relevance, self.aggregation).items()}

    def factors(self, units: Sequence[UnitLayer], layers: Sequence[LayerInfo]) -> dict[str, float]:
        """Unit layer -> its factor times that of its depth group.

        Raises:
            XaipruneError: As `scores`.
        """
        check_scale("scale", self.scale, units)
        own = {unit.name: self.scale.get(unit.name, 1.0) for unit in units}
        if not any(name in get_args(DepthGroup) for name in self.scale):
            return own
        groups = unit_groups(self.composite, units, layers)
        return {name: factor * self.scale.get(groups[name], 1.0) for name, factor in own.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored with a trial."""
        return {
            "composite": composite_to_dict(self.composite),
            "start": self.start,
            "aggregation": asdict(self.aggregation),
            **self.settings,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "recipe") -> Recipe:
        """The recipe that plain data describes.

        Args:
            data: As `to_dict` gives it.
            source: Named in error messages (a trial).

        Raises:
            XaipruneError: A key is missing or a value unknown.
        """
        try:
            start, aggregation, composite = data["start"], data["aggregation"], data["composite"]
        except KeyError as error:
            raise XaipruneError(f"{source}: has no {error.args[0]}, so it is no recipe for scores") from None
        if start not in get_args(Start):
            raise XaipruneError(f"{source}: start must be one of {', '.join(get_args(Start))}, got '{start}'")
        optional = {key: data[key] for key in OPTIONAL if key in data}
        return cls(composite_from_dict(composite, source), start, Aggregation(**aggregation), **optional)

    def summary(self) -> str:
        """One line for people: ``low gamma 0.3, mid zplus, high gradient; softmax cp; start logit``."""
        composite, aggregation = self.composite, self.aggregation
        parts = [composite.summary()]
        if composite.activation == "gradient":
            parts.append("gradient between")
        elif composite.softmax != "attnlrp":
            parts.append(f"softmax {composite.softmax}")
        parts += [f"start {self.start}", aggregation.mode]
        if aggregation.image_weight != "as_is":
            parts.append(f"images {aggregation.image_weight}")
        if aggregation.normalize != "none":
            parts.append(f"layers by {aggregation.normalize}")
        if self.scale:
            parts.append(f"scale {_factors(self.scale)}")
        if self.references is not None:
            parts.append(f"{self.references} references a class")
        if self.scope is not None:
            parts.append(f"{self.scope} ranking")
        if self.relevance_per not in (None, "unit"):
            parts.append(f"relevance per {self.relevance_per.removesuffix('s')}")
        if self.order is not None:
            parts.append(f"order {self.order}")
        if self.compensate is not None:
            how = {None: "", True: ", layer by layer", False: ", at once"}[self.sequential]
            parts.append(f"compensate {self.compensate}{how if self.compensate != 'none' else ''}")
        if self.bn not in (None, "keep"):
            parts.append(f"BatchNorm {self.bn}d")
        if self.rounds is not None and self.rounds > 1:
            parts.append(f"{self.rounds} rounds")
        if self.rate is not None:
            of = "" if self.budget in (None, "units") else f" of {self.budget}"
            parts.append(f"rate {self.rate:.3g}{of}")
        if self.multiple not in (None, 1):
            parts.append(f"multiples of {self.multiple} channels")
        return "; ".join(parts)

    def __str__(self) -> str:
        return self.summary()


def _factors(scale: Mapping[str, float]) -> str:
    """Groups with their factors; layers are counted where there are many."""
    own = {name: factor for name, factor in scale.items() if name not in get_args(DepthGroup)}
    many = len(own) > _NAMED
    factors = [f"{name} {factor:.2g}" for name, factor in scale.items() if not (many and name in own)]
    if many:
        factors.append(f"{len(own)} layers by {min(own.values()):.2g} to {max(own.values()):.2g}")
    return ", ".join(factors)
