"""A space as it is on one network: what changes nothing there is not searched."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor, nn

from xaiprune.attribution import Composite, Match, Relevance, SelectsLogits, attribute
from xaiprune.attribution.lrp import DepthGroup, Epsilon, LayerInfo, Softmax, ZPlus
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, count_of
from xaiprune.pruning import JOINT, has_batchnorm, why_no_joint_order
from xaiprune.recipe import check_scale, unit_groups
from xaiprune.session import PruningSession
from xaiprune.space.around import check_around
from xaiprune.space.dimensions import DIMENSIONS, GRADIENT, Choice, Effects, competes
from xaiprune.space.numbers import Number, nearest, times
from xaiprune.space.space import Part, Space
from xaiprune.units import UnitLayer

log = logging.getLogger(__name__)


def reduce(space: Space, session: PruningSession, *, rate: float | None = None, prunes: bool = True) -> Space:
    """Keep what can change a ranking of this network's units, or its heatmaps.

    Parts whose layers all lie below the lowest unit layer are dropped: the relevance pass never gets there.
    A layer that is alone in its part needs no rule of its own. Whether the treatment of softmax, and of
    everything else between linear layers, makes a difference is tried on one image (in a ReLU network without
    attention it makes none). Scores of different layers are not compared if all units lie in one layer or
    each layer is ranked for itself: no normalisation, no scale.

    Args:
        space: As read from YAML.
        session: Network, images, units, and the ``prune`` settings of what the space does not vary.
        rate: The rate that trials are measured at; None where there are several.
        prunes: Whether trials prune. If not, heatmaps count: every layer's rule matters then, and nothing
            that turns relevance into a ranking has an effect.

    Raises:
        XaipruneError: No part covers a layer whose rule matters, no layer's rule matters, the space asks for
            more references than there are, or a name pattern of its base composite matches nothing.
    """
    units, layers = session.units, session.layers
    labels = session.dataset.reference.labels.to(session.device)
    if space.centre is not None:
        space.centre.composite.renamed(space.around).resolve(layers)
    above = reached(layers, units) if prunes else tuple(layers)
    parts = assign(space, above)
    check_scale("space.scale", space.scale, units)
    configured = {
        **{d.name: getattr(session.prune, d.name) for d in DIMENSIONS if hasattr(session.prune, d.name)},
        "references": _available(space, labels),
        "rate": rate,
        "coupled": session.prune.coupled == "group",
    }
    space = replace(space, parts=parts, own=_own(space, parts, above), configured=configured)
    if prunes:
        space = _without_joint_order(space, session)
    probe = _Probe(session.model, session.example, labels[:1], units, session.task)
    effects = _effects(space, session, probe, prunes=prunes)
    scale = _scale(space, units, layers) if effects.competes else {}
    centre = space.centre
    if centre is not None:
        factors = {name: nearest(number, centre.scale.get(name, 1.0)) for name, number in scale.items()}
        centre = replace(centre, scale=factors)
    choices = {d.name: replace(space[d.name], matters=d.matters(effects)) for d in DIMENSIONS}
    space = replace(space, choices=choices, scale=scale, scale_each=None, centre=centre)
    check_around(space, space.searched())
    return space


def _effects(space: Space, session: PruningSession, probe: _Probe, *, prunes: bool) -> Effects:
    def possible(name: str) -> Sequence[Any]:
        return space[name].choices or (space.configured[name],)

    several = prunes and len(session.units) > 1
    treatments = [{"softmax": value} for value in get_args(Softmax) if value != "gradient"]
    # Compensation fits what consumers read, which one image says nothing about.
    consumers = prunes and bool(session.dense.inputs) and count_of(session.reference_images) > 1
    return Effects(
        prunes=prunes,
        several=several,
        competes=several and any(competes({**space.configured, "scope": s}) for s in possible("scope")),
        priced=several and _priced(session, possible("relevance_per")),
        between=probe.differ([GRADIENT, *treatments]),
        softmax=probe.differ(treatments),
        consumers=consumers,
        compensates=consumers and any(method != "none" for method in possible("compensate")),
        normalises=prunes and has_batchnorm(session.model) and count_of(session.reference_images) > 1,
    )


def _priced(session: PruningSession, per: Sequence[str]) -> bool:
    """Whether units cost differently, in any of the ways that a space may count."""
    costs = [session.dense.unit_costs(budget) for budget in per if budget != "unit"]
    return any(len(torch.cat(list(own.values())).unique()) > 1 for own in costs)


def _without_joint_order(space: Space, session: PruningSession) -> Space:
    """The space less the joint orders that the network does not have.

    Raises:
        XaipruneError: It has no other order.
    """
    orders = space["order"].choices
    reasons = {
        order: why_no_joint_order(session.dense.inputs, session.units, order)
        for order in orders
        if order in JOINT
    }
    missing = {order: reason for order, reason in reasons.items() if reason}
    if not missing:
        return space
    others = tuple(order for order in orders if order not in missing)
    if not others:
        order, reason = next(iter(missing.items()))
        raise XaipruneError(f"space.order={order}: {reason}; set space.order=score")
    for order, reason in missing.items():
        log.info("space.order without %s: %s", order, reason)
    return replace(space, choices={**space.choices, "order": Choice(others)})


def _available(space: Space, labels: Tensor) -> int:
    """Reference images a class, of the class that has fewest."""
    available = int(labels.unique(return_counts=True)[1].min())
    if (most := max(space["references"].choices, default=0)) > available:
        raise XaipruneError(
            f"space.references asks for {most} reference images a class, there are {available}; raise "
            "data.reference_per_class, or take smaller numbers"
        )
    return available


def _scale(space: Space, units: Sequence[UnitLayer], layers: Sequence[LayerInfo]) -> dict[str, Number]:
    """Factors that can change the ranking: one of all scores cannot."""
    scale = dict(space.scale)
    if space.scale_each is not None:
        known = {} if space.centre is None else space.centre.scale  # whose factors are varied, not replaced
        scale |= {
            unit.name: times(space.scale_each, known.get(unit.name, 1.0))
            for unit in units
            if unit.name not in scale
        }
    if any(name in get_args(DepthGroup) for name in scale):
        groups = set(unit_groups(space.frame(), units, layers).values())
        of_all = groups if len(groups) == 1 else set()
        absent = set(get_args(DepthGroup)) - groups
        scale = {name: number for name, number in scale.items() if name not in of_all | absent}
    return scale


def _own(space: Space, parts: Sequence[Part], layers: Sequence[LayerInfo]) -> tuple[Part, ...]:
    """A part for each layer that may have a rule of its own, in execution order."""
    each = space.each
    if each is None:
        return ()
    owner = {layer: part for part in parts for layer in part.layers}
    frame, found = space.frame(), []
    for layer in layers:
        alone = len(owner[layer].layers) == 1 and all(o in owner[layer].options for o in each.options)
        if alone or (each.match is not None and not _covers(each.match, layer, frame)):
            continue  # the part's rule is its own, or it has to have the part's
        if any(layer.name == part.name for part in parts):
            raise XaipruneError(
                f"space.parts.{layer.name} has the name of a layer, so that their parameters would be one; "
                "call the part something else"
            )
        options = tuple(option.for_type(layer.type) for option in each.options)
        found.append(Part(layer.name, Match(names=(layer.name,)), options, (layer,)))
    if not found and each.match is not None:
        raise XaipruneError(
            f"space.each ({each.match}) matches no layer that shares its part with others; layers that "
            f"matter here are {', '.join(layer.name for layer in layers[:3])}"
        )
    return tuple(found)


def reached(layers: Sequence[LayerInfo], units: Sequence[UnitLayer]) -> tuple[LayerInfo, ...]:
    """The layers whose rule matters: those that relevance passes on its way to the lowest unit layer."""
    position = {layer.name: index for index, layer in enumerate(layers)}
    lowest = len(layers)
    for unit in units:
        if unit.where == "output":
            # Read at the layer's output, so its own rule does not matter; a layer that is not its own tap
            # (BatchNorm) is known by the unit layer's name.
            at = position.get(unit.tap, position.get(unit.name, -1))
            lowest = min(lowest, at + 1)
        else:
            lowest = min(lowest, position.get(unit.tap, 0))
    return tuple(layers[lowest:])


def assign(space: Space, layers: Sequence[LayerInfo]) -> tuple[Part, ...]:
    """Give each layer to the first part that matches; parts without layers are dropped.

    Args:
        space: As read from YAML.
        layers: Those whose rule matters, in execution order.

    Raises:
        XaipruneError: There are none, or no part covers one of them.
    """
    if not layers:
        raise XaipruneError("space: no layer lies above the units, so no rule can change their ranking")
    owned: dict[str, list[LayerInfo]] = {part.name: [] for part in space.parts}
    for layer in layers:
        owner = next(
            (p for p in space.parts if p.match is None or _covers(p.match, layer, space.frame())), None
        )
        if owner is None:
            group = space.frame().group_of(layer)
            raise XaipruneError(
                f"space.parts: no part covers layer '{layer.name}' (type {layer.type}, group {group}); "
                "add a part without conditions as the last one"
            )
        owned[owner.name].append(layer)
    return tuple(replace(p, layers=tuple(owned[p.name])) for p in space.parts if owned[p.name])


def _covers(match: Match, layer: LayerInfo, frame: Composite) -> bool:
    return replace(frame, layers=((match, ZPlus()),)).entry_for(layer) is not None


class _Probe:
    """Relevance of one image under several treatments of what lies between linear layers."""

    def __init__(
        self,
        model: nn.Module,
        image: Inputs,
        label: Tensor,
        units: Sequence[UnitLayer],
        task: SelectsLogits | None,
    ) -> None:
        self.model, self.image, self.label, self.units, self.task = model, image, label, units, task

    def differ(self, treatments: Sequence[dict[str, str]]) -> bool:
        """Whether any two treatments give different relevance."""
        composites = [Composite(Epsilon(0.0), **treatment) for treatment in treatments]  # type: ignore[arg-type]
        first, *others = attribute(
            self.model, self.image, self.label, self.units, composites, task=self.task, start="logit"
        )
        return any(not _close(first, other) for other in others)


def _close(one: Relevance, other: Relevance) -> bool:
    """Equal up to rounding, and finite."""
    for name, values in one.abs_sums.items():
        scale = float(values.abs().max())
        for a, b in ((values, other.abs_sums[name]), (one.sums[name], other.sums[name])):
            if not torch.allclose(a, b, rtol=1e-4, atol=1e-5 * scale):
                return False
    return True
