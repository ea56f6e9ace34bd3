"""The order in which a layer's units leave when what counts is what their consumers lose by all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning.statistics.inputs import Inputs
from xaiprune.pruning.statistics.moments import Moments, Statistics
from xaiprune.pruning.statistics.ridge import MIDDLE, means
from xaiprune.units import UnitLayer

ORDERS = ("score", "joint")
# Relative to the mean variance of the channels: an order has no rate that a strength could be chosen for.
_RIDGE = MIDDLE
# With linear compensation this part of the units that are left leaves at a time. One by one a wide layer
# would take minutes.
_AT_ONCE = 64


@dataclass(frozen=True)
class JointOrder:
    """Ranks units by what the consumers of their layer lose when they leave together.

    A score looks at one unit beside all others. But units that leave together may cancel out, or one may make
    up for the other: the error of a consumer's output is a quadratic form of all that have left. So here a
    layer's units leave one after the other, each time the one with the least *added* error of the consumers'
    outputs (mean square over the reference images, weighted as compensation weighs them), times its score.

    - Without compensation the error after the units T have left is E|sum of x_j w_j over T|^2, the greedy
      choice of ThiNet (Luo et al. 2017, arXiv 1707.06342), there without a score; for ``mean``, of x less
      its mean. What a step adds may be below zero, and is divided by the score then.
    - With ``linear`` it is what the kept units cannot make up for: a step adds |w_j|^2 / (C^-1)_jj, for C
      the covariance of the units that are left and w_j with what has left made up for; the Optimal Brain
      Surgeon for whole units (ZipLM: Kurtic et al. 2023, arXiv 2302.04089), there without a score.

    Of a convolution every tap of the kernel counts for itself, as if neighbouring pixels were independent.

    How many units a layer gives up at a rate stays as the scores say: a layer keeps its scores, and they are
    handed out in the new order (equal ones leave no room for it). Layers whose units have no consumers of
    their own (a residual stream's) keep theirs.

    Attributes:
        losses: Unit layer -> what its consumers lose.
    """

    losses: Mapping[str, _Loss]

    @staticmethod
    def of(model: nn.Module, units: Sequence[UnitLayer], statistics: Statistics, method: str) -> JointOrder:
        """Of a network.

        Args:
            model: The dense network.
            units: Its unit layers.
            statistics: Its own, from `statistics_of`.
            method: How compensation is done: ``none``, ``mean`` or ``linear``.

        Raises:
            XaipruneError: A consumer reads some units of a layer at more channels than others, or numbers
                that are not finite, or no layer has consumers of its own.
        """
        linear = method == "linear"
        weights, forms = {}, {}  # once for each consumer, for many layers may share it (DenseNet)
        for name, inputs in statistics.inputs.items():
            weights[name] = _weight(model, inputs)
            centred = not inputs.padded if linear else method == "mean"
            second = _second(_moments(statistics, name), centred)
            forms[name] = _inverse(second) if linear else second
        losses: dict[str, _Loss] = {}
        for layer in units:
            read = [r for inputs in statistics.inputs.values() if (r := _Read.of(inputs, layer)) is not None]
            if not read:
                continue
            own_weights = [weights[r.inputs.module] for r in read]
            own_forms = [forms[r.inputs.module] for r in read]
            loss = _Compensated if linear else _Plain
            losses[layer.name] = loss.of(layer.units, read, own_weights, own_forms)
        if not losses:
            raise XaipruneError(
                "prune.order=joint says nothing here: no unit layer has consumers of its own "
                "(units of residual streams are only masked); set prune.order=score"
            )
        return JointOrder(losses)

    def scores(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The scores of each layer, handed out anew so that ascending they give the joint order.

        Args:
            scores: Unit layer -> (units,), higher is more relevant. Where some are negative, the least of the
                layer counts as zero.
        """
        found = {}
        for name, values in scores.items():
            found[name] = values
            if name in self.losses:
                above = values.detach().to("cpu", torch.float64)
                order = self.losses[name].order(above - above.min().clamp_max(0))
                found[name] = torch.empty_like(values)
                found[name][torch.tensor(order)] = values.sort().values
        return found


@dataclass(frozen=True)
class _Read:
    """How one consumer reads the units of one layer.

    Attributes:
        inputs: The consumer's.
        units: Those that it reads, (r,).
        channels: At these channels, (r, w).
    """

    inputs: Inputs
    units: Tensor
    channels: Tensor

    @staticmethod
    def of(inputs: Inputs, layer: UnitLayer) -> _Read | None:
        """None if it reads none of them."""
        channels: dict[int, list[int]] = {}
        for channel, owner in enumerate(inputs.unit):
            if owner is not None and owner[0] == layer.name:
                channels.setdefault(owner[1], []).append(channel)
        if not channels:
            return None
        if len(set(map(len, channels.values()))) > 1:
            raise XaipruneError(
                f"prune.order=joint: {inputs.module} reads some units of {layer.name} at more channels than "
                "others, which has no joint order yet; set prune.order=score, or leave the layer out "
                "(units.exclude)"
            )
        units = sorted(channels)
        return _Read(inputs, torch.tensor(units), torch.tensor([channels[unit] for unit in units]))


def _weight(model: nn.Module, inputs: Inputs) -> Tensor:
    """A consumer's weight as (channels, outputs x taps), float64 on the CPU."""
    weight: Tensor = model.get_submodule(inputs.module).weight  # type: ignore[assignment]
    taps = inputs.taps(weight).cpu()
    return taps.transpose(0, 1).reshape(inputs.channels, -1)


def _moments(statistics: Statistics, name: str) -> Moments:
    """Of all reference images."""
    found = statistics.fit[name]
    if name in statistics.held_out:
        found = found + statistics.held_out[name]
    if not bool(found.xy.isfinite().all()):
        raise XaipruneError(
            f"prune.order=joint: what {name} reads is not finite on the reference images; "
            "set prune.order=score"
        )
    return found


def _second(moments: Moments, centred: bool) -> Tensor:
    """Covariance, or second moment, of the channels, (C, C) float64 on the CPU."""
    return means(moments, centred)[0].to("cpu", torch.float64)


class _Loss(Protocol):
    """What the consumers of one layer lose."""

    def order(self, scores: Tensor) -> list[int]:
        """The units in the order in which they leave.

        Args:
            scores: (units,) float64, from 0.
        """


@dataclass(frozen=True)
class _Plain:
    """Nothing changes in the kept units, so what is lost is the sum of what leaves.

    Attributes:
        gram: (units, units): the mean product of what two units add to the consumers' outputs.
    """

    gram: Tensor

    @staticmethod
    def of(count: int, read: Sequence[_Read], weights: Sequence[Tensor], seconds: Sequence[Tensor]) -> _Plain:
        gram = torch.zeros(count, count, dtype=torch.float64)
        for r, weight, second in zip(read, weights, seconds, strict=True):
            line = r.channels.flatten()
            own = weight[line]
            products = second[line][:, line] * (own @ own.T)
            size, width = r.channels.shape
            gram[r.units[:, None], r.units] += products.reshape(size, width, size, width).sum((1, 3))
        return _Plain(gram)

    def order(self, scores: Tensor) -> list[int]:
        added = self.gram.diagonal().clone()
        # The error may fall when a unit follows those that have left; the less relevant goes first then, too.
        inverse = 1 / scores.clamp_min(torch.finfo(scores.dtype).tiny)
        barred = torch.zeros_like(scores)
        gone: list[int] = []
        for _ in range(len(scores)):
            cost = torch.where(added >= 0, added * scores, added * inverse) + barred
            gone.append(int(cost.argmin()))
            barred[gone[-1]] = torch.inf
            added += 2 * self.gram[gone[-1]]
        return gone


@dataclass(frozen=True)
class _Compensated:
    """The kept units take over what they can, so what is lost is what they cannot.

    Attributes:
        units: How many there are.
        consumers: Before any has left.
    """

    units: int
    consumers: Sequence[_Consumer]

    @staticmethod
    def of(
        count: int, read: Sequence[_Read], weights: Sequence[Tensor], inverses: Sequence[Tensor]
    ) -> _Compensated:
        return _Compensated(count, list(map(_Consumer.of, read, inverses, weights)))

    def order(self, scores: Tensor) -> list[int]:
        consumers = self.consumers
        gone: list[int] = []
        while len(gone) < self.units:
            added = torch.zeros(self.units, dtype=torch.float64)
            for consumer in consumers:
                added[consumer.units] += consumer.added()
            cost = added * scores
            cost[gone] = torch.inf
            left = self.units - len(gone)
            leaving = cost.argsort(stable=True)[: -(-left // _AT_ONCE)]
            gone += leaving.tolist()
            after = [consumer.without(leaving) for consumer in consumers]
            consumers = [consumer for consumer in after if consumer is not None]
        return gone


def _inverse(second: Tensor) -> Tensor:
    """Of a covariance and the least ridge from `_RIDGE` that lets it be inverted."""
    scale = second.diagonal().mean()
    regular = torch.eye(len(second), dtype=second.dtype) * (scale if scale > 0 else 1.0)
    ridge, factor, failed = _RIDGE, second, 1
    while failed:  # rounding may take a covariance of few images below zero
        factor, info = torch.linalg.cholesky_ex(second + ridge * regular)
        ridge, failed = 10 * ridge, int(info)
    return torch.cholesky_inverse(factor)


@dataclass(frozen=True)
class _Consumer:
    """A consumer that makes up for what has left.

    Attributes:
        units: Those it still reads, (r,).
        inverse: Their channels' part of the inverse covariance of all channels that are left, (r w, r w).
        weight: Of their channels, with what has left made up for, (r w, any): as it is or turned, for only
            lengths and angles count.
    """

    units: Tensor
    inverse: Tensor
    weight: Tensor

    @staticmethod
    def of(read: _Read, inverse: Tensor, weight: Tensor) -> _Consumer:
        """Before any unit has left; the inverse covariance and the weight are of all channels."""
        line = read.channels.flatten()
        own = weight[line]
        if own.shape[1] > len(own):  # a kernel's many taps
            own = torch.linalg.qr(own.T, mode="r").R.T
        return _Consumer(read.units, inverse[line][:, line], own)

    def added(self) -> Tensor:
        """What each unit's leaving adds to the error, (r,): tr W_u^T ((C^-1)_uu)^-1 W_u."""
        count = len(self.units)
        width = len(self.weight) // count
        blocks = self.inverse.reshape(count, width, count, width).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        own = self.weight.reshape(count, width, -1)
        return (own * torch.linalg.solve(blocks, own)).sum((1, 2))

    def without(self, units: Tensor) -> _Consumer | None:
        """After these units have left, in any order; None if it then reads none."""
        leaving = torch.isin(self.units, units)
        if not bool(leaving.any()):
            return self
        if bool(leaving.all()):
            return None
        out = leaving.repeat_interleave(len(self.weight) // len(self.units))
        # Of a Gaussian: what is left, given what has gone.
        column = self.inverse[~out][:, out]
        known = torch.cat([column.T, self.weight[out]], 1)
        taken = column @ torch.linalg.solve(self.inverse[out][:, out], known)
        kept = len(column)
        return _Consumer(
            self.units[~leaving],
            self.inverse[~out][:, ~out] - taken[:, :kept],
            self.weight[~out] - taken[:, kept:],
        )
