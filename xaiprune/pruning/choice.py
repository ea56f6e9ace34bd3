"""Which units a rate removes: the lowest blocks of units first, in one order for all rates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xaiprune.errors import XaipruneError
from xaiprune.units import UnitLayer


def steps(units: Sequence[UnitLayer], multiple: int, groups: Sequence[Sequence[str]] = ()) -> dict[str, int]:
    """How many units a layer loses at a time, so that it keeps a multiple of ``multiple`` channels.

    Units that have several channels leave whole: of attention heads with 64 channels each, any number is a
    multiple of 8 channels. Layers that do not shrink, because their units can only be masked, lose one unit
    at a time.

    Args:
        units: The unit layers.
        multiple: Of channels, from 1.
        groups: Layers that share their channels, and lose them together.

    Returns:
        Unit layer -> units; all layers of a group have the same.
    """
    shared = {name for group in groups for name in group}
    return {
        layer.name: multiple // math.gcd(multiple, layer.width)
        if layer.removable or layer.name in shared
        else 1
        for layer in units
    }


def lowest(
    scores: Mapping[str, Tensor],
    prices: Mapping[str, Tensor],
    rate: float,
    *,
    min_units: int = 1,
    steps: Mapping[str, int],
    names: Sequence[str],
) -> list[tuple[str, int]]:
    """The units to remove from some layers, in the order in which they are removed.

    Each layer's units are removed in blocks, the lowest scores first: first as many as exceed a multiple of
    its step, then a step at a time. A block is worth the mean of its scores; blocks are removed in ascending
    order of that, until the removed price is nearest to the rate.

    Args:
        scores: Unit layer -> (units,) float64.
        prices: Unit layer -> (units,) float64, what each unit costs.
        rate: Fraction of the price of all units of these layers.
        min_units: Units that every layer keeps, at least.
        steps: Unit layer -> units of a block.
        names: The layers that are ranked together.

    Raises:
        XaipruneError: Too many units have to be kept for the rate.
    """
    if rate == 0:
        return []
    blocks = {name: _Blocks.of(scores[name], prices[name], steps[name]) for name in names}
    order = torch.argsort(torch.cat([blocks[name].values for name in names]), stable=True)
    layer_of = [(name, place) for name in names for place in range(len(blocks[name].prices))]
    left = {name: len(scores[name]) for name in names}
    total = sum(float(prices[name].sum()) for name in names)
    target = rate * total * (1 + 1e-12)  # 0.3 * 10 is a little below 3
    spent = 0.0
    chosen: list[tuple[str, int]] = []
    for position in order.tolist():
        name, place = layer_of[position]
        price, units = blocks[name].prices[place], blocks[name].units[place]
        if spent + price / 2 > target:
            return chosen
        if left[name] - len(units) >= min_units:
            left[name] -= len(units)
            spent += price
            chosen += [(name, unit) for unit in units]
    # Less than one block is missing where all layers have come as near as their steps let them.
    missing = max(max(blocks[name].prices) - float(prices[name].max()) / 2 for name in names)
    if target - spent > missing + math.ulp(1.0):
        raise XaipruneError(_out_of_reach(rate, min_units, max(steps[name] for name in names), left))
    return chosen


def _out_of_reach(rate: float, min_units: int, step: int, left: Mapping[str, int]) -> str:
    keys = f"prune.min_units={min_units}"
    keys += f" and prune.multiple (blocks of {step} units)" if step > 1 else ""
    way_out = "prune.rate, prune.min_units or prune.multiple" if step > 1 else "prune.rate or prune.min_units"
    return (
        f"prune.rate={rate} cannot be reached: with {keys}, {sum(left.values())} units in {len(left)} layers "
        f"have to be kept; lower {way_out}"
    )


@dataclass(frozen=True)
class _Blocks:
    """A layer's units, in the order in which they are removed.

    Attributes:
        units: Of each block.
        values: Mean score of each block, (blocks,), ascending.
        prices: Of each block.
    """

    units: list[list[int]]
    values: Tensor
    prices: list[float]

    @staticmethod
    def of(scores: Tensor, prices: Tensor, step: int) -> "_Blocks":
        count = len(scores)
        order = torch.argsort(scores, stable=True)
        block = (torch.arange(count) + -count % step) // step  # the first has what exceeds a multiple
        sizes = torch.bincount(block)
        sums = torch.zeros(2, len(sizes), dtype=torch.float64)
        sums.index_add_(1, block, torch.stack([scores[order], prices[order]]))
        return _Blocks(
            [part.tolist() for part in order.split(sizes.tolist())],
            (sums[0] / sizes).cummax(0).values,  # rounding must not let a later block go before an earlier
            sums[1].tolist(),
        )
