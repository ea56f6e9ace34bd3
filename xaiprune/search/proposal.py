"""What one trial tries: a composite, where relevance starts, and how it becomes scores."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from xaiprune.attribute import Aggregation, Composite, Start
from xaiprune.attribute.lrp.composite import DepthGroup
from xaiprune.attribute.lrp.composite_io import from_dict, to_dict
from xaiprune.attribute.lrp.rules import Epsilon, Rule
from xaiprune.errors import XaipruneError

SCOPES = ("global", "layer")
COMPENSATIONS = ("none", "mean", "linear")
ORDERS = ("score", "joint")
_NAMED = 4  # entries of single layers that a summary spells out
_OPTIONAL = ("scale", "references", "scope", "compensate", "order", "rate")  # stored where they are set

# What relevance depends on: rules, where it starts, and references a class.
Source = tuple[Composite, Start, int | None]


@dataclass(frozen=True)
class Proposal:
    """A complete recipe for scores.

    Attributes:
        composite: Which layer gets which rule.
        start: Relevance at the logits.
        aggregation: From relevance to scores.
        scale: Depth group, or unit layer -> factor of its units' scores; what is left out has 1, and a layer
            that is named itself and by its group has the product.
        references: Reference images a class, the first so many; None: all.
        scope: As ``prune.scope``; None: the configuration's.
        compensate: As ``prune.compensate``; None: the configuration's.
        rate: Fraction removed; None: the objective's rates.
        order: As ``prune.order``; None: the configuration's.
    """

    composite: Composite
    start: Start
    aggregation: Aggregation
    scale: Mapping[str, float] = field(default_factory=dict)
    references: int | None = None
    scope: str | None = None
    compensate: str | None = None
    rate: float | None = None
    order: str | None = None

    def __post_init__(self) -> None:
        for key, values, choices in (
            ("scope", [self.scope], (None, *SCOPES)),
            ("compensate", [self.compensate], (None, *COMPENSATIONS)),
            ("order", [self.order], (None, *ORDERS)),
        ):
            for value in values:
                if value not in choices:
                    known = ", ".join(str(c) for c in choices if c is not None)
                    raise XaipruneError(f"proposal: {key} must be one of {known}, got '{value}'")
        for name, factor in self.scale.items():
            if not (factor > 0 and math.isfinite(factor)):
                raise XaipruneError(f"proposal: scale.{name} must be a factor above zero, got {factor}")

    @property
    def rest(self) -> dict[str, Any]:
        """What is set of the optional fields, as plain data."""
        found = {key: getattr(self, key) for key in _OPTIONAL}
        return {
            key: dict(value) if key == "scale" else value
            for key, value in found.items()
            if value is not None and value != {}
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored with a trial."""
        return {
            "composite": to_dict(self.composite),
            "start": self.start,
            "aggregation": asdict(self.aggregation),
            **self.rest,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "proposal") -> Proposal:
        """The proposal that plain data describes.

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
        optional = {key: data[key] for key in _OPTIONAL if key in data}
        return cls(from_dict(composite, source), start, Aggregation(**aggregation), **optional)

    @property
    def source(self) -> Source:
        """Equal for proposals that only make different scores of the same relevance."""
        return self.composite, self.start, self.references

    @property
    def key(self) -> str:
        """Equal for proposals that mean the same, whatever they are called."""
        data = self.to_dict()
        del data["composite"]["name"]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def summary(self) -> str:
        """One line for people: ``low gamma 0.3, mid zplus, high gradient; softmax cp; start logit``."""
        composite = self.composite
        rules = _rules(composite)
        parts = [", ".join(rules)]
        if composite.activation == "gradient":
            parts.append("gradient between")
        elif composite.softmax != "attnlrp":
            parts.append(f"softmax {composite.softmax}")
        parts += [f"start {self.start}", self.aggregation.mode]
        if self.aggregation.image_weight != "as_is":
            parts.append(f"images {self.aggregation.image_weight}")
        if self.aggregation.normalize != "none":
            parts.append(f"layers by {self.aggregation.normalize}")
        if self.scale:
            parts.append(f"scale {_factors(self.scale)}")
        if self.references is not None:
            parts.append(f"{self.references} references a class")
        if self.scope is not None:
            parts.append(f"{self.scope} ranking")
        if self.compensate is not None:
            parts.append(f"compensate {self.compensate}")
        if self.order is not None:
            parts.append(f"order {self.order}")
        if self.rate is not None:
            parts.append(f"rate {self.rate:.3g}")
        return "; ".join(parts)


def _factors(scale: Mapping[str, float]) -> str:
    """Groups with their factors; layers are counted where there are many."""
    own = {name: factor for name, factor in scale.items() if name not in get_args(DepthGroup)}
    many = len(own) > _NAMED
    factors = [f"{name} {factor:.2g}" for name, factor in scale.items() if not (many and name in own)]
    if many:
        factors.append(f"{len(own)} layers by {min(own.values()):.2g} to {max(own.values()):.2g}")
    return ", ".join(factors)


def _rules(composite: Composite) -> list[str]:
    """Which layers get which rule; single layers are counted where there are many."""
    own = [entry for entry in composite.layers if entry[0].names]
    many = len(own) > _NAMED
    shown: Sequence[Any] = [entry for entry in composite.layers if not (many and entry in own)]
    rules = [f"{match} {_short(rule)}" for match, rule in shown]
    if many:
        rules.append(f"{len(own)} layers with rules of their own")
    return rules or [f"{_short(composite.default)} everywhere"]


def _short(rule: Rule) -> str:
    """A rule with its one telling number; with epsilon 0 it is the gradient."""
    if isinstance(rule, Epsilon) and rule.epsilon == 0:
        return "gradient"
    number = next((getattr(rule, key) for key in ("epsilon", "gamma", "alpha") if hasattr(rule, key)), None)
    return rule.name if number is None else f"{rule.name} {number:.2g}"
