"""Weights and activations in one product: Wanda's score, summed over a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria.moments import has_consumers, input_of, links_of, moments_at, sum_by_unit
from xaiprune.attribution.criteria.types import Scores, SelectsLogits
from xaiprune.attribution.criteria.weights import folded_weight
from xaiprune.attribution.targets import Labels
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs
from xaiprune.registry import register_criterion
from xaiprune.units import Links, UnitLayer, is_linear


@register_criterion("wanda")
def wanda(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Scores:
    """Sum over a unit's outgoing weights of |weight| times the norm of what that weight reads.

    Wanda (Sun et al. 2023, arXiv 2306.11695, equation 1) scores a single weight by |W_oj| ||x_j||, x_j being
    the j-th input of its layer. A unit is scored by the weights that are removed with it at its consumers,
    as FLAP's authors do in their structured baseline Wanda-sp (An et al. 2023, arXiv 2312.11983):

        sum over consumers, their inputs j that are the unit's, outputs o and kernel positions k of
            |W_ojk| ||x_j||,   ||x_j||^2 = mean over images of the sum over positions of x_j^2

    So x_j is the unit's own activation as it is read: after BatchNorm, nonlinearity and pooling. A BatchNorm
    that follows a consumer is folded into W, so that a network with folded BatchNorms has the same scores.
    Positions are all pixels or tokens of the input, for each k alike. A linear layer that reads a flattened
    map has one j for each position; a head sums over its channels.

    Where not all consumers are known (residual streams, depthwise convolutions), the unit is scored by its
    incoming weights, with its own BatchNorm folded in, times the norms of the inputs that they read.

    Raises:
        XaipruneError: A unit layer without known consumers is made by no convolution or linear layer, or a
            BatchNorm has no running statistics.
    """
    links = links_of(model, images, labels, units, task, batch_size)
    readers = {unit.name: _readers(model, unit, links) for unit in units}
    places = list(dict.fromkeys(input_of(model, name) for names in readers.values() for name in names))
    moments = moments_at(model, places, images, labels, task, batch_size)
    norms = {place.module: (of.squares / of.images).sqrt() for place, of in moments.items()}
    outgoing = {
        name: _outgoing(model, links, name)
        for unit in units
        if has_consumers(links, unit)
        for name in readers[unit.name]
    }
    return {
        unit.name: _by_consumers(unit, links, outgoing, norms)
        if has_consumers(links, unit)
        else _by_inputs(model, unit, links, norms[unit.name])
        for unit in units
    }


def _readers(model: nn.Module, unit: UnitLayer, links: Links) -> list[str]:
    """The layers whose weights score the units: their consumers, or else the layer that makes them."""
    if has_consumers(links, unit):
        return [consumer.module for consumer in links.reaches[unit.name].consumers]
    module = model.get_submodule(unit.name)
    if not (is_linear(module) or isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)):
        raise XaipruneError(
            f"unit layer {unit.name}: wanda is undefined, its consumers are not known and no weight makes "
            "its units; exclude the layer or choose another criterion"
        )
    return [unit.name]


def _outgoing(model: nn.Module, links: Links, consumer: str) -> Tensor:
    """Sum of |weight| over outputs and kernel positions for each input of a consumer, (inputs,) float64."""
    weight = folded_weight(model, consumer, links.norms.get(consumer))
    return weight.abs().sum((0, 2))


def _by_consumers(
    unit: UnitLayer, links: Links, outgoing: Mapping[str, Tensor], norms: Mapping[str, Tensor]
) -> Tensor:
    scores = torch.zeros(unit.units, dtype=torch.float64)
    for consumer in links.reaches[unit.name].consumers:
        products = outgoing[consumer.module] * norms[consumer.module]
        scores += sum_by_unit(products, consumer.unit, unit.units)
    return scores


def _by_inputs(model: nn.Module, unit: UnitLayer, links: Links, norms: Tensor) -> Tensor:
    """Of incoming weights, (units,); an output of a grouped convolution reads its group's inputs only."""
    layer = model.get_submodule(unit.name)
    groups = int(getattr(layer, "groups", 1))
    rows = folded_weight(model, unit.name, links.norms.get(unit.name)).abs().sum(2)
    rows = rows.reshape(groups, -1, rows.shape[1]) * norms.reshape(groups, 1, -1)
    return rows.sum(2).reshape(unit.units, -1).sum(1)
