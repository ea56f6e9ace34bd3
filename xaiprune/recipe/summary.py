"""A recipe in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from xaiprune.attribution import Composite
from xaiprune.attribution.lrp import DepthGroup

if TYPE_CHECKING:
    from xaiprune.recipe.recipe import Recipe

_NAMED = 4  # entries of single layers that are spelled out


def summary_of(recipe: Recipe) -> str:
    """``low gamma 0.3, mid zplus, high gradient; softmax cp; start logit; abs_of_sum``."""
    composite, aggregation = recipe.composite, recipe.aggregation
    parts = [", ".join(_rules(composite))]
    if composite.activation == "gradient":
        parts.append("gradient between")
    elif composite.softmax != "attnlrp":
        parts.append(f"softmax {composite.softmax}")
    parts += [f"start {recipe.start}", aggregation.mode]
    if aggregation.image_weight != "as_is":
        parts.append(f"images {aggregation.image_weight}")
    if aggregation.normalize != "none":
        parts.append(f"layers by {aggregation.normalize}")
    if recipe.scale:
        parts.append(f"scale {_factors(recipe.scale)}")
    if recipe.references is not None:
        parts.append(f"{recipe.references} references a class")
    if recipe.scope is not None:
        parts.append(f"{recipe.scope} ranking")
    if recipe.compensate is not None:
        parts.append(f"compensate {recipe.compensate}")
    if recipe.order is not None:
        parts.append(f"order {recipe.order}")
    if recipe.rounds is not None:
        parts.append(f"{recipe.rounds} rounds")
    if recipe.rate is not None:
        parts.append(f"rate {recipe.rate:.3g}")
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
    rules = [f"{match} {rule.short}" for match, rule in shown]
    if many:
        rules.append(f"{len(own)} layers with rules of their own")
    return rules or [f"{composite.default.short} everywhere"]
