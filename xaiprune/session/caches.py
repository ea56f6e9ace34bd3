"""What a session has computed for its network, and what it is good for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from xaiprune.attribution import Relevance, Scores
from xaiprune.evaluation import Accuracy, Cost
from xaiprune.pruning import DenseSamples, JointOrder, Statistics
from xaiprune.recipe import AttributionKey


@dataclass
class Caches:
    """Results that depend on network, units and reference images alone, not on ``prune`` settings.

    Sessions that differ in their settings share one (`PruningSession.with_prune`).

    Attributes:
        relevances: Relevance of the last recipes that were attributed.
        statistics: Moments of what consumers read in the dense network, for compensation all at once and for
            the joint order.
        samples: What consumers read, for compensation layer by layer; kept while ``samples_known`` is True,
            and None then if memory is too small for it.
        samples_known: Whether ``samples`` has been asked for.
        joint_orders: Compensation -> the joint order.
        ordered: The last scores that were ordered jointly: (scores, compensation, ordered scores).
        unit_costs: Budget -> what each unit costs.
        coupled: Unit layers that share their channels; None: not looked for yet.
        dense_accuracy: Precision -> top-1 of the dense network on the validation images.
        dense_cost: Whether latency was measured -> cost of the dense network.
    """

    relevances: dict[AttributionKey, Relevance] = field(default_factory=dict)
    statistics: Statistics | None = None
    samples: DenseSamples | None = None
    samples_known: bool = False
    joint_orders: dict[str, JointOrder] = field(default_factory=dict)
    ordered: tuple[Scores, str, Scores] | None = None
    unit_costs: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)
    coupled: Sequence[Sequence[str]] | None = None
    dense_accuracy: dict[str, Accuracy] = field(default_factory=dict)
    dense_cost: dict[bool, Cost] = field(default_factory=dict)


@dataclass
class BatchSizes:
    """Images in one pass; halved in place when memory runs out.

    Attributes:
        attribution: In a forward and backward that carries relevance.
        forward: In any other forward.
    """

    attribution: int = 20
    forward: int = 50

    def halve(self) -> None:
        """Half as many, but at least one."""
        self.attribution, self.forward = max(1, self.attribution // 2), max(1, self.forward // 2)
