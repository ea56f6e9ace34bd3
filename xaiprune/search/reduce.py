"""A space as it is on one network: what changes nothing there is not searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor, nn

from xaiprune.attribute import Composite, Relevance, attribute
from xaiprune.attribute.criteria.registry import SelectsLogits
from xaiprune.attribute.lrp.composite import LayerInfo, Match, Softmax
from xaiprune.attribute.lrp.rules import Epsilon, ZPlus
from xaiprune.errors import XaipruneError
from xaiprune.search.space import Part, Space
from xaiprune.search.suggest import GRADIENT
from xaiprune.units import UnitLayer


def reduce(
    space: Space,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    units: Sequence[UnitLayer],
    layers: Sequence[LayerInfo],
    *,
    task: SelectsLogits | None = None,
    scope: str = "global",
) -> Space:
    """Keep what can change a ranking of this network's units.

    Parts whose layers all lie below the lowest unit layer go: the relevance pass never gets there. Whether
    the treatment of softmax, and of everything else between linear layers, makes a difference is tried on
    one image (in a ReLU network without attention it makes none).

    Args:
        space: As read from YAML.
        model: In eval mode.
        images: (N, 3, H, W) reference images; the first is used.
        labels: (N,) index of the right class.
        units: Where relevance is read.
        layers: The network's layers in execution order (`trace_layers`).
        task: Picks the task's logits.
        scope: ``layer`` ranks each layer for itself, so that normalisation says nothing.

    Raises:
        XaipruneError: No part covers a layer whose rule matters, or no layer's rule matters.
    """
    parts = _assign(space, reached(layers, units))
    probe = _Probe(model, images[:1], labels[:1], units, task)
    treatments = [{"softmax": choice} for choice in get_args(Softmax) if choice != "gradient"]
    softmax, between = probe.differ(treatments), probe.differ([GRADIENT, *treatments])
    return replace(
        space,
        parts=parts,
        softmax=replace(space.softmax, matters=softmax),
        between=replace(space.between, matters=between),
        normalize=replace(space.normalize, matters=scope != "layer"),
    )


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


def _assign(space: Space, layers: Sequence[LayerInfo]) -> tuple[Part, ...]:
    """Give each layer to the first part that matches; parts without layers go."""
    if not layers:
        raise XaipruneError("space: no layer lies above the units, so no rule can change their ranking")
    owned: dict[str, list[LayerInfo]] = {part.name: [] for part in space.parts}
    for layer in layers:
        owner = next(
            (p for p in space.parts if p.match is None or _covers(p.match, layer, space.depth)), None
        )
        if owner is None:
            group = Composite(depth=space.depth).group_of(layer)
            raise XaipruneError(
                f"space.parts: no part covers layer '{layer.name}' (type {layer.type}, group {group}); "
                "add a part without conditions as the last one"
            )
        owned[owner.name].append(layer)
    return tuple(replace(p, layers=tuple(owned[p.name])) for p in space.parts if owned[p.name])


def _covers(match: Match | None, layer: LayerInfo, depth: tuple[float, float]) -> bool:
    if match is None:
        return True
    rule = ZPlus()
    return Composite(Epsilon(), ((match, rule),), depth=depth).rule_for(layer) is rule


class _Probe:
    """Relevance of one image under several treatments of what lies between linear layers."""

    def __init__(
        self,
        model: nn.Module,
        image: Tensor,
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
