"""The joint order: ranks a layer's units by the error that removing them together causes in its consumers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning.statistics import DEFAULT_STRENGTH, ConsumerInputs, Statistics, means
from xaiprune.units import UnitLayer, weight_of

ORDERS = ("score", "joint", "error")
JOINT = ORDERS[1:]  # those that a `JointOrder` makes
# Relative to the mean variance of the channels. An order serves all rates, so no rate chooses the strength.
_RIDGE = DEFAULT_STRENGTH
# With linear compensation 1/64 of the remaining units is removed at a time. One by one, a wide layer would
# take minutes.
_PART = 64


@dataclass(frozen=True)
class JointOrder:
    """Orders the units of a layer by the error that removing them together causes in the layer's consumers.

    A score judges each unit while all others are present. But units that are removed together may cancel
    out, or one may be able to replace the other: the error in a consumer's output is a quadratic form of all
    removed units. This order is greedy: it removes a layer's units one after the other, each time the unit u
    with the least score(u) * d(u), where d(u) is what removing u adds to the error of the consumers' outputs
    (mean square over the reference images, weighted as for compensation).

    Let x_j be what a consumer reads of unit j, w_j the weights that read it, and T the units removed so far.

    - ``none``: the error is E|sum_{j in T} x_j w_j|^2 = sum_{i,j in T} G_ij with G_ij = E[x_i x_j] w_i.w_j.
      So d(u) = G_uu + 2 sum_{j in T} G_uj, the greedy choice of ThiNet (Luo et al. 2017, arXiv 1707.06342),
      which uses no scores. Where d(u) is negative, it is divided by the score instead. For ``mean``, x_j is
      replaced by x_j - E[x_j].
    - ``linear``: the error is what the kept units cannot predict. So d(u) = |w_u|^2 / (C^-1)_uu, where C is
      the covariance (with a ridge) of the remaining channels and w_u includes what channel u has taken over
      from T: the Optimal Brain Surgeon for whole units (ZipLM: Kurtic et al. 2023, arXiv 2302.04089), which
      uses no scores.

    In a convolution every tap of the kernel counts by itself, as if neighbouring pixels were independent.

    How many units each layer loses at a rate depends on the values that its units get. With `joint` a layer
    keeps the values of its scores and only assigns them to its units in the new order (equal scores leave no
    room for it). With `error` a layer keeps the sum of its scores, and divides it among its units in
    proportion to d: the last units of a layer, which nothing can replace any more, are then worth most, and
    no layer is emptied while others have units to spare. Layers whose units have no consumers of their own
    (those of a residual stream) keep their scores as they are.

    Attributes:
        losses: Unit layer -> the error that its consumers get.
    """

    losses: Mapping[str, _Loss]

    @staticmethod
    def of(model: nn.Module, units: Sequence[UnitLayer], statistics: Statistics, method: str) -> JointOrder:
        """The joint order of a network.

        Args:
            model: The dense network.
            units: Its unit layers.
            statistics: The dense network's, from `statistics_of`.
            method: How removed units are compensated for: ``none``, ``mean`` or ``linear``.

        Raises:
            XaipruneError: A consumer reads some units of a layer at more channels than others, or numbers
                that are not finite, or no layer has consumers of its own.
        """
        if reason := why_no_joint_order(statistics.inputs, units):
            raise XaipruneError(f"prune.order=joint: {reason}; set prune.order=score")
        linear = method == "linear"
        weights, forms = {}, {}  # computed once per consumer, which many layers may share (DenseNet)
        for name, inputs in statistics.inputs.items():
            weights[name] = _weight(model, inputs)
            centred = not inputs.padded if linear else method == "mean"
            second = _second_moment(statistics, name, centred)
            forms[name] = _inverse(second) if linear else second
        losses: dict[str, _Loss] = {}
        for layer in units:
            read = [r for inputs in statistics.inputs.values() if (r := _Read.of(inputs, layer)) is not None]
            if not read:
                continue
            own_weights = [weights[r.inputs.module] for r in read]
            own_forms = [forms[r.inputs.module] for r in read]
            loss = _CompensatedLoss if linear else _PlainLoss
            losses[layer.name] = loss.of(layer.units, read, own_weights, own_forms)
        return JointOrder(losses)

    def __repr__(self) -> str:
        return f"JointOrder({len(self.losses)} unit layers)"

    def scores(self, scores: Mapping[str, Tensor], order: str = "joint") -> dict[str, Tensor]:
        """Values for the units of each layer that ascend in the joint order.

        Args:
            scores: Unit layer -> (units,), higher = more relevant. Where some are negative, the lowest of the
                layer counts as zero.
            order: ``joint``: the layer's scores themselves. ``error``: the sum of the layer's scores, divided
                among its units by the error that each adds (where it falls again, by the highest so far).

        Returns:
            Unit layer -> (units,), as the scores.
        """
        found = {}
        for name, values in scores.items():
            found[name] = values
            if name in self.losses:
                above = values.detach().to("cpu", torch.float64)
                above = above - above.min().clamp_max(0)
                removed, added = self.losses[name].removal(above)
                found[name] = torch.empty_like(values)
                ascending = values.sort().values if order == "joint" else _shares(added, float(above.sum()))
                found[name][torch.tensor(removed)] = ascending.to(values)
        return found

    def ranks(self) -> dict[str, Tensor]:
        """Each layer's units numbered in the order in which they are removed where all scores are 1.

        This is ThiNet's own choice (``none``, ``mean``), or the Optimal Brain Surgeon's (``linear``), without
        a ranking of the units.

        Returns:
            Unit layer -> (units,) float64, 0 for the unit that is removed first. Layers whose units have no
            consumers of their own have no entry.
        """
        found = {}
        for name, loss in self.losses.items():
            order, _ = loss.removal(torch.ones(loss.units, dtype=torch.float64))
            found[name] = torch.empty(loss.units, dtype=torch.float64)
            found[name][torch.tensor(order)] = torch.arange(loss.units, dtype=torch.float64)
        return found


def why_no_joint_order(inputs: Mapping[str, ConsumerInputs], units: Sequence[UnitLayer]) -> str:
    """Why units cannot be ordered jointly; empty where they can.

    Args:
        inputs: What each consumer of removable units reads (`inputs_of`).
        units: The network's unit layers.
    """
    if not inputs:
        return "no unit layer has consumers of its own (units of residual streams are only masked)"
    for consumer in inputs.values():
        channels = Counter(owner for owner in consumer.unit if owner is not None)
        for layer in units:
            if len({count for (name, _), count in channels.items() if name == layer.name}) > 1:
                return (
                    f"{consumer.module} reads some units of {layer.name} at more channels than others, which "
                    "has no joint order yet (units.exclude leaves a layer out)"
                )
    return ""


def _shares(added: Tensor, total: float) -> Tensor:
    """A total divided by the error that each unit adds, (units,), ascending.

    A unit that comes later in the order must not be worth less, or it would be removed before: it counts with
    the highest error so far.
    """
    rising = added.clamp_min(0).cummax(0).values
    whole = float(rising.sum())
    return rising * (total / whole) if whole > 0 else torch.full_like(rising, total / len(rising))


@dataclass(frozen=True)
class _Read:
    """How one consumer reads the units of one layer.

    Attributes:
        inputs: The consumer's.
        units: The units that it reads, (r,).
        channels: The channels at which it reads each of them, (r, w).
    """

    inputs: ConsumerInputs
    units: Tensor
    channels: Tensor

    @staticmethod
    def of(inputs: ConsumerInputs, layer: UnitLayer) -> _Read | None:
        """None if the consumer reads none of the layer's units."""
        channels: dict[int, list[int]] = {}
        for channel, owner in enumerate(inputs.unit):
            if owner is not None and owner[0] == layer.name:
                channels.setdefault(owner[1], []).append(channel)
        if not channels:
            return None
        units = sorted(channels)
        return _Read(inputs, torch.tensor(units), torch.tensor([channels[unit] for unit in units]))


def _weight(model: nn.Module, inputs: ConsumerInputs) -> Tensor:
    """A consumer's weight as (channels, outputs x taps), float64 on the CPU."""
    taps = inputs.taps(weight_of(model.get_submodule(inputs.module))).cpu()
    return taps.transpose(0, 1).reshape(inputs.channels, -1)


def _second_moment(statistics: Statistics, consumer: str, centred: bool) -> Tensor:
    """E[x x^T] of a consumer's channels (the covariance if centred), (C, C) float64 on the CPU."""
    moments = statistics.moments(consumer)
    if not bool(moments.xy.isfinite().all()):
        raise XaipruneError(
            f"prune.order=joint: what {consumer} reads is not finite on the reference images; "
            "set prune.order=score"
        )
    return means(moments, centred)[0].to("cpu", torch.float64)


class _Loss(Protocol):
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
class _PlainLoss:
    """Without compensation the kept units do not change: the error is the sum of the removed contributions.

    Attributes:
        gram: G, (units, units): the mean product of what two units contribute to the consumers' outputs.
    """

    gram: Tensor

    @staticmethod
    def of(
        count: int, read: Sequence[_Read], weights: Sequence[Tensor], seconds: Sequence[Tensor]
    ) -> _PlainLoss:
        gram = torch.zeros(count, count, dtype=torch.float64)
        for r, weight, second in zip(read, weights, seconds, strict=True):
            line = r.channels.flatten()
            own = weight[line]
            products = second[line][:, line] * (own @ own.T)
            size, width = r.channels.shape
            gram[r.units[:, None], r.units] += products.reshape(size, width, size, width).sum((1, 3))
        return _PlainLoss(gram)

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
class _CompensatedLoss:
    """With linear compensation the kept units take over what they can: the error is what they cannot predict.

    Attributes:
        units: How many there are.
        consumers: The layer's, before any unit is removed.
    """

    units: int
    consumers: Sequence[_Consumer]

    @staticmethod
    def of(
        count: int, read: Sequence[_Read], weights: Sequence[Tensor], inverses: Sequence[Tensor]
    ) -> _CompensatedLoss:
        return _CompensatedLoss(count, list(map(_Consumer.of, read, inverses, weights)))

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


def _inverse(second: Tensor) -> Tensor:
    """The inverse of a covariance plus the smallest ridge, from `_RIDGE` up, that makes it invertible."""
    scale = second.diagonal().mean()
    regular = torch.eye(len(second), dtype=second.dtype) * (scale if scale > 0 else 1.0)
    ridge, factor, failed = _RIDGE, second, 1
    while failed:  # rounding can make the covariance of few images indefinite
        factor, info = torch.linalg.cholesky_ex(second + ridge * regular)
        ridge, failed = 10 * ridge, int(info)
    return torch.cholesky_inverse(factor)


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
    def of(read: _Read, inverse: Tensor, weight: Tensor) -> _Consumer:
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
