"""The error that the consumers of one layer get when its units are removed, with and without compensation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from xaiprune.pruning.statistics import Inputs
from xaiprune.units import UnitLayer

# With linear compensation 1/64 of the remaining units is removed at a time. One by one, a wide layer would
# take minutes.
_PART = 64


@dataclass(frozen=True)
class Read:
    """How one consumer reads the units of one layer.

    Attributes:
        inputs: The consumer's.
        units: The units that it reads, (r,).
        channels: The channels at which it reads each of them, (r, w).
    """

    inputs: Inputs
    units: Tensor
    channels: Tensor

    @staticmethod
    def of(inputs: Inputs, layer: UnitLayer) -> Read | None:
        """None if the consumer reads none of the layer's units."""
        channels: dict[int, list[int]] = {}
        for channel, owner in enumerate(inputs.unit):
            if owner is not None and owner[0] == layer.name:
                channels.setdefault(owner[1], []).append(channel)
        if not channels:
            return None
        units = sorted(channels)
        return Read(inputs, torch.tensor(units), torch.tensor([channels[unit] for unit in units]))


class Loss(Protocol):
    """The error that the consumers of one layer get when its units are removed."""

    @property
    def units(self) -> int:
        """How many units the layer has."""

    def removal(self, scores: Tensor) -> tuple[list[int], Tensor]:
        """The units in the order in which they are removed, and the error that each adds.

        Args:
            scores: (units,) float64, from 0.

        Returns:
            The units, and (units,) float64 in the same order.
        """


@dataclass(frozen=True)
class PlainLoss:
    """Without compensation the kept units do not change: the error is the sum of the removed contributions.

    Attributes:
        gram: G, (units, units): the mean product of what two units contribute to the consumers' outputs.
    """

    gram: Tensor

    @staticmethod
    def of(
        count: int, read: Sequence[Read], weights: Sequence[Tensor], seconds: Sequence[Tensor]
    ) -> PlainLoss:
        gram = torch.zeros(count, count, dtype=torch.float64)
        for r, weight, second in zip(read, weights, seconds, strict=True):
            line = r.channels.flatten()
            own = weight[line]
            products = second[line][:, line] * (own @ own.T)
            size, width = r.channels.shape
            gram[r.units[:, None], r.units] += products.reshape(size, width, size, width).sum((1, 3))
        return PlainLoss(gram)

    @property
    def units(self) -> int:
        """How many units the layer has."""
        return len(self.gram)

    def removal(self, scores: Tensor) -> tuple[list[int], Tensor]:
        added = self.gram.diagonal().clone()
        # Where the error falls, dividing by the score removes the less relevant unit first, too.
        inverse = 1 / scores.clamp_min(torch.finfo(scores.dtype).tiny)
        barred = torch.zeros_like(scores)
        removed: list[int] = []
        errors = torch.empty_like(scores)
        for place in range(len(scores)):
            cost = torch.where(added >= 0, added * scores, added * inverse) + barred
            removed.append(int(cost.argmin()))
            errors[place] = added[removed[-1]]
            barred[removed[-1]] = torch.inf
            added += 2 * self.gram[removed[-1]]
        return removed, errors


@dataclass(frozen=True)
class CompensatedLoss:
    """With linear compensation the kept units take over what they can: the error is what they cannot predict.

    Attributes:
        units: How many there are.
        consumers: The layer's, before any unit is removed.
    """

    units: int
    consumers: Sequence[_Consumer]

    @staticmethod
    def of(
        count: int, read: Sequence[Read], weights: Sequence[Tensor], inverses: Sequence[Tensor]
    ) -> CompensatedLoss:
        return CompensatedLoss(count, list(map(_Consumer.of, read, inverses, weights)))

    def removal(self, scores: Tensor) -> tuple[list[int], Tensor]:
        consumers = self.consumers
        removed: list[int] = []
        errors: list[Tensor] = []
        while len(removed) < self.units:
            added = torch.zeros(self.units, dtype=torch.float64)
            for consumer in consumers:
                added[consumer.units] += consumer.added_errors()
            cost = added * scores
            cost[removed] = torch.inf
            remaining = self.units - len(removed)
            next_units = cost.argsort(stable=True)[: -(-remaining // _PART)]
            removed += next_units.tolist()
            errors.append(added[next_units])
            after = [consumer.without(next_units) for consumer in consumers]
            consumers = [consumer for consumer in after if consumer is not None]
        return removed, torch.cat(errors)


@dataclass(frozen=True)
class _Consumer:
    """A consumer whose remaining channels have taken over what they can from the removed ones.

    Attributes:
        units: The units that it still reads, (r,).
        inverse: The rows and columns of these units' channels in the inverse covariance of all remaining
            channels, (r w, r w).
        weight: The weights of these channels, including what they have taken over, (r w, any); possibly
            rotated, because only lengths and angles matter.
    """

    units: Tensor
    inverse: Tensor
    weight: Tensor

    @staticmethod
    def of(read: Read, inverse: Tensor, weight: Tensor) -> _Consumer:
        """Before any unit is removed; the inverse covariance and the weight are of all channels."""
        line = read.channels.flatten()
        own = weight[line]
        if own.shape[1] > len(own):  # a kernel with many taps
            own = torch.linalg.qr(own.T, mode="r").R.T
        return _Consumer(read.units, inverse[line][:, line], own)

    def added_errors(self) -> Tensor:
        """What removing each unit adds to the error, (r,): tr W_u^T ((C^-1)_uu)^-1 W_u."""
        count = len(self.units)
        width = len(self.weight) // count
        if width == 1:  # torch solves thousands of 1 x 1 systems a hundred times more slowly
            return self.weight.square().sum(1) / self.inverse.diagonal()
        blocks = self.inverse.reshape(count, width, count, width).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        own = self.weight.reshape(count, width, -1)
        return (own * torch.linalg.solve(blocks, own)).sum((1, 2))

    def without(self, units: Tensor) -> _Consumer | None:
        """The consumer after these units are removed, in any order; None if it then reads none."""
        chosen = torch.isin(self.units, units)
        if not bool(chosen.any()):
            return self
        if bool(chosen.all()):
            return None
        out = chosen.repeat_interleave(len(self.weight) // len(self.units))
        # The Schur complement: the inverse covariance of the remaining channels.
        column = self.inverse[~out][:, out]
        right = torch.cat([column.T, self.weight[out]], 1)
        taken = column @ torch.linalg.solve(self.inverse[out][:, out], right)
        kept = len(column)
        return _Consumer(
            self.units[~chosen],
            self.inverse[~out][:, ~out] - taken[:, :kept],
            self.weight[~out] - taken[:, kept:],
        )
