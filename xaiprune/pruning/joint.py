"""The joint order: ranks a layer's units by the error that removing them together causes in its consumers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.progress import progress
from xaiprune.pruning.joint_errors import CompensatedLoss, Loss, PlainLoss, Read
from xaiprune.pruning.statistics import DEFAULT_STRENGTH, ConsumerInputs, Statistics, means
from xaiprune.units import UnitLayer, weight_of

ORDERS = ("score", "joint", "error")
JOINT = ORDERS[1:]  # those that a `JointOrder` makes
# Relative to the mean variance of the channels. An order serves all rates, so no rate chooses the strength.
_RIDGE = DEFAULT_STRENGTH

# Units removed of a layer, ascending, and how far the network's answers then are from the dense one's.
Divergences = list[tuple[int, float]]
# The units in the order in which they are removed (int64), and the error that each adds (float64).
RemovalOrder = tuple[Tensor, Tensor]


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
    room for it). With `error` a unit's value is what it adds to the divergence of the network's answers,
    which is measured for each layer at a few sizes (`xaiprune.pruning.divergences`), and in between divided
    in proportion to d. Scores then decide the order within a layer only. The last units of a layer, which
    nothing can replace any more, are worth most, so no layer is emptied while others have units to spare; and
    a layer beside a shortcut may lose nearly all of its units, where the answers hardly notice. Layers whose
    units have no consumers of their own (those of a residual stream) keep their scores with `joint`, and have
    no value with `error`.

    Attributes:
        losses: Unit layer -> the error that its consumers get.
    """

    losses: Mapping[str, Loss]
    _last: dict[str, tuple[Tensor, RemovalOrder]] = field(default_factory=dict, repr=False, compare=False)

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
        losses: dict[str, Loss] = {}
        for layer in progress(units, "ordering units jointly"):
            read = [r for inputs in statistics.inputs.values() if (r := Read.of(inputs, layer)) is not None]
            if not read:
                continue
            own_weights = [weights[r.inputs.module] for r in read]
            own_forms = [forms[r.inputs.module] for r in read]
            loss = CompensatedLoss if linear else PlainLoss
            losses[layer.name] = loss.of(layer.units, read, own_weights, own_forms)
        return JointOrder(losses)

    def __repr__(self) -> str:
        return f"JointOrder({len(self.losses)} unit layers)"

    def scores(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The scores (`joint`): each layer's, assigned to its units so that they ascend in the joint order.

        Args:
            scores: Unit layer -> (units,), higher = more relevant. Where some are negative, the lowest of the
                layer counts as zero.

        Returns:
            Unit layer -> (units,), as the scores.
        """
        found = {}
        for name, values in scores.items():
            found[name] = values
            if name in self.losses:
                removed, _ = self.removal(name, values)
                found[name] = torch.empty_like(values)
                found[name][removed] = values.sort().values
        return found

    def errors(
        self, scores: Mapping[str, Tensor], divergences: Mapping[str, Divergences]
    ) -> dict[str, Tensor]:
        """What each unit adds to the divergence of the network's answers (`error`).

        A unit that comes later in the order must not be worth less, or it would be removed before: it counts
        with the highest value so far.

        Args:
            scores: As for `scores`.
            divergences: As `xaiprune.pruning.divergences` measures them.

        Returns:
            Unit layer -> (units,) float64 on the CPU, nats.

        Raises:
            XaipruneError: A layer has no consumers of its own.
        """
        found = {}
        for name, values in scores.items():
            if name not in self.losses:
                raise XaipruneError(f"prune.order=error: {_without_consumers(name)}; set prune.order=joint")
            removed, added = self.removal(name, values)
            found[name] = torch.empty_like(added)
            found[name][removed] = _divided(divergences[name], added.clamp_min(0).cummax(0).values)
        return found

    def removal(self, layer: str, scores: Tensor | None = None) -> RemovalOrder:
        """A layer's units in the order in which they are removed, and the error that each adds.

        Args:
            layer: Its name; it has consumers of its own.
            scores: (units,), as for `scores`; None: all are 1, as in ThiNet and the Optimal Brain Surgeon.

        Returns:
            (units,) int64, and (units,) float64 in the same order, the mean square that each adds in the
            outputs of the consumers together.
        """
        loss = self.losses[layer]
        values = torch.ones(loss.units) if scores is None else scores
        above = values.detach().to("cpu", torch.float64)
        above = above - above.min().clamp_max(0)
        # A factor changes nothing, and searches of the layers' factors ask again and again.
        relative = (above / above.max().clamp_min(torch.finfo(above.dtype).tiny)).float()
        if layer not in self._last or not torch.equal(self._last[layer][0], relative):
            removed, added = loss.removal(above)
            self._last[layer] = relative, (torch.tensor(removed), added)
        return self._last[layer][1]

    def ranks(self) -> dict[str, Tensor]:
        """Each layer's units numbered in the order in which they are removed where all scores are 1.

        This is ThiNet's own choice (``none``, ``mean``), or the Optimal Brain Surgeon's (``linear``), without
        a ranking of the units.

        Returns:
            Unit layer -> (units,) float64, 0 for the unit that is removed first. Layers whose units have no
            consumers of their own have no entry.
        """
        found = {}
        for name in self.losses:
            order, added = self.removal(name)
            found[name] = torch.empty_like(added)
            found[name][order] = torch.arange(len(order), dtype=torch.float64)
        return found


def why_no_joint_order(
    inputs: Mapping[str, ConsumerInputs], units: Sequence[UnitLayer], order: str = "joint"
) -> str:
    """Why units cannot be ordered jointly; empty where they can.

    Args:
        inputs: What each consumer of removable units reads (`inputs_of`).
        units: The network's unit layers.
        order: ``joint``, or ``error``, for which every layer needs consumers.
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
    if order == "error":
        read = {owner[0] for consumer in inputs.values() for owner in consumer.unit if owner is not None}
        return next((_without_consumers(layer.name) for layer in units if layer.name not in read), "")
    return ""


def _without_consumers(layer: str) -> str:
    return f"the units of {layer} have no consumers of their own (they are only masked)"


def _divided(divergences: Divergences, errors: Tensor) -> Tensor:
    """What each unit adds to a layer's divergence.

    Args:
        divergences: Measured at some numbers of units.
        errors: What each unit adds to the error of the consumers, (units,), ascending.

    Returns:
        (units,), ascending: between two measurements in proportion to the errors, and behind the last as
        before it.
    """
    added, start, reached, rate = torch.zeros_like(errors), 0, 0.0, 0.0
    for count, divergence in divergences:
        part = errors[start:count]
        step, whole = max(divergence - reached, 0.0), float(part.sum())
        rate = step / whole if whole > 0 else rate
        added[start:count] = part * rate if whole > 0 else step / len(part)
        start, reached = count, max(divergence, reached)
    added[start:] = errors[start:] * rate
    return added.cummax(0).values


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


def _inverse(second: Tensor) -> Tensor:
    """The inverse of a covariance plus the smallest ridge, from `_RIDGE` up, that makes it invertible."""
    scale = second.diagonal().mean()
    regular = torch.eye(len(second), dtype=second.dtype) * (scale if scale > 0 else 1.0)
    ridge, factor, failed = _RIDGE, second, 1
    while failed:  # rounding can make the covariance of few images indefinite
        factor, info = torch.linalg.cholesky_ex(second + ridge * regular)
        ridge, failed = 10 * ridge, int(info)
    return torch.cholesky_inverse(factor)
