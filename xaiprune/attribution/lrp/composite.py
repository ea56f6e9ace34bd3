"""Composites: which layer gets which LRP rule, and how attention, norms and products are treated.

A composite is data. It is written to and read from YAML (`composite_io`), sampled by a search, and resolved
against the layers that a network really runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from xaiprune.attribution.lrp.rules import Epsilon, Rule
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.registry import RULES

LayerType = Literal["conv", "linear"]
DepthGroup = Literal["low", "mid", "high", "classifier"]
Softmax = Literal["attnlrp", "cp", "zplus", "gradient"]
Activation = Literal["identity", "gradient"]
Norm = Literal["detach", "gradient"]
Product = Literal["uniform", "gate", "gradient"]


@dataclass(frozen=True)
class LayerInfo:
    """One linear layer or convolution that a network runs.

    Attributes:
        name: Qualified module name; a bypassed projection of ``nn.MultiheadAttention`` is
            ``<attention>.in_proj`` or ``<attention>.out_proj``.
        type: ``conv`` or ``linear``.
        depth: Position among the layers below the classifier, in [0, 1).
        classifier: Whether the layer belongs to the classifier.
    """

    name: str
    type: LayerType
    depth: float
    classifier: bool = False


_SHOWN = 4  # entries of single layers in a summary


@dataclass(frozen=True)
class Match:
    """Which layers a rule is for; every given condition must hold, empty ones hold always.

    Attributes:
        names: Shell-style patterns of qualified names (``layer1.*``, ``*.attn.qkv``); any may match.
        types: Layer types.
        groups: Depth groups.
    """

    names: tuple[str, ...] = ()
    types: tuple[LayerType, ...] = ()
    groups: tuple[DepthGroup, ...] = ()

    def __post_init__(self) -> None:
        if not (self.names or self.types or self.groups):
            raise XaipruneError("composite: a layer entry matches on nothing; give name, type or group")
        for layer_type in self.types:
            _check_choice("type", layer_type, get_args(LayerType))
        for group in self.groups:
            _check_choice("group", group, get_args(DepthGroup))

    def __str__(self) -> str:
        return " and ".join("|".join(part) for part in (self.names, self.types, self.groups) if part)


@dataclass(frozen=True, repr=False)
class Composite:
    """A rule for every layer, and the treatment of everything between them.

    Attributes:
        default: Rule of layers that no entry matches.
        layers: ``(match, rule)`` entries; the first that matches a layer gives its rule.
        softmax: ``attnlrp``: plain gradient (Achtibat et al. 2024, eq. 13) with products split evenly;
            ``cp``: attention weights are constants (Ali et al. 2022); ``zplus``: positive contributions of
            the softmax's linearisation only; ``gradient``: plain gradient of the whole attention, unsplit.
        activation: ``identity``: relevance passes unchanged (g f(x)/x); ``gradient``: g f'(x).
        norm: ``detach``: what a norm divides by is a constant (a deviation, a length, any divisor);
            ``gradient``: it is not.
        product: Products of two activations. ``uniform``: each factor gets half; ``gate``: a sigmoid gate
            gets nothing; ``gradient``: plain gradient to both.
        depth: Where mid and high begin, as fractions of the layers below the classifier. The default
            gives the groups of the PXP paper for ResNet-18 and ViT.
        groups: Exact groups by name pattern, which replace the fractions where given.
        name: For people; does not take part in equality.
    """

    default: Rule = field(default_factory=Epsilon)
    layers: tuple[tuple[Match, Rule], ...] = ()
    softmax: Softmax = "attnlrp"
    activation: Activation = "identity"
    norm: Norm = "detach"
    product: Product = "uniform"
    depth: tuple[float, float] = (0.25, 0.75)
    groups: Mapping[DepthGroup, tuple[str, ...]] = field(default_factory=dict, hash=False)
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check_choice("softmax", self.softmax, get_args(Softmax))
        _check_choice("activation", self.activation, get_args(Activation))
        _check_choice("norm", self.norm, get_args(Norm))
        _check_choice("product", self.product, get_args(Product))
        for group in self.groups:
            _check_choice("groups", group, get_args(DepthGroup))
        low, high = self.depth
        if not 0 <= low <= high <= 1:
            raise XaipruneError(
                f"composite: depth must be two rising fractions in [0, 1], got {list(self.depth)}"
            )

    def summary(self) -> str:
        """Which layers get which rule, on one line; single layers are counted if there are many."""
        single = [entry for entry in self.layers if entry[0].names]
        many = len(single) > _SHOWN
        shown = [entry for entry in self.layers if not (many and entry in single)]
        rules = [f"{match} {rule.short}" for match, rule in shown]
        if many:
            rules.append(f"{len(single)} layers with rules of their own")
        return ", ".join(rules) or f"{self.default.short} everywhere"

    def __repr__(self) -> str:
        name = f"{self.name!r}: " if self.name else ""
        rest = f", else {self.default.short}" if self.layers else ""
        return f"Composite({name}{self.summary()}{rest})"

    def group_of(self, layer: LayerInfo) -> DepthGroup:
        """The depth group that a layer belongs to under this composite."""
        for group, patterns in self.groups.items():
            if any(fnmatchcase(layer.name, pattern) for pattern in patterns):
                return group
        if layer.classifier:
            return "classifier"
        return "low" if layer.depth < self.depth[0] else "mid" if layer.depth < self.depth[1] else "high"

    def rule_for(self, layer: LayerInfo) -> Rule:
        """The rule of one layer (first matching entry, else the default)."""
        entry = self.entry_for(layer)
        return self.default if entry is None else entry[1]

    def entry_for(self, layer: LayerInfo) -> tuple[Match, Rule] | None:
        """The first entry that matches a layer."""
        return next((entry for entry in self.layers if self._matches(entry[0], layer)), None)

    def resolve(self, layers: Sequence[LayerInfo]) -> dict[str, Rule]:
        """The rule of every layer by name.

        Raises:
            XaipruneError: A name pattern matches no layer of the network (groups and types may).
        """
        names = [layer.name for layer in layers]
        patterns = [p for match, _ in self.layers for p in match.names]
        patterns += [p for group in self.groups.values() for p in group]
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                some = f"; it has {', '.join(names[:3]) or 'none'}"
                raise XaipruneError(
                    f"composite {self.name or '(unnamed)'}: pattern '{pattern}' matches no layer of this "
                    f"network{did_you_mean(pattern, names, cutoff=0.4) or some}"
                )
        return {layer.name: self.rule_for(layer) for layer in layers}

    def renamed(self, name: str) -> Composite:
        """The same composite under another name."""
        return replace(self, name=name)

    def _matches(self, match: Match, layer: LayerInfo) -> bool:
        return (
            (not match.names or any(fnmatchcase(layer.name, pattern) for pattern in match.names))
            and (not match.types or layer.type in match.types)
            and (not match.groups or self.group_of(layer) in match.groups)
        )


def make_rule(name: str, **parameters: Any) -> Rule:
    """A rule by name, e.g. ``make_rule("gamma", gamma=0.25)``.

    Raises:
        XaipruneError: Unknown rule or parameter, or a value out of range.
    """
    rule: type[Rule] = RULES.find(name)
    own = [f.name for f in fields(rule)]
    for key in parameters:
        if key not in own:
            raise XaipruneError(f"rule {name} has no parameter '{key}'; it has {', '.join(own) or 'none'}")
    return rule(**parameters)


def _check_choice(key: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        hint = did_you_mean(str(value), choices)
        raise XaipruneError(f"composite: {key} '{value}' is unknown, choose from {', '.join(choices)}{hint}")


PLAIN_GRADIENT = Composite(
    Epsilon(0.0), softmax="gradient", activation="gradient", norm="gradient", product="gradient"
)
"""Under which relevance is activation times gradient, in any network."""
