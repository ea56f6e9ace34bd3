"""What is computed once for a network: explicit, so that sessions over the same network share it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from xaiprune.attribution import Relevance, Scores
from xaiprune.data import LabelledImages
from xaiprune.evaluation import Accuracy, Cost, cost
from xaiprune.forward import Inputs, count_of, is_text, part_of, tokens_of
from xaiprune.pruning import (
    BatchNormStatistics,
    ConsumerInputs,
    DenseSamples,
    Divergences,
    ImageStream,
    JointOrder,
    Statistics,
    couple,
    divergences,
    inputs_of,
    samples_of,
    statistics_of,
)
from xaiprune.recipe import AttributionKey
from xaiprune.units import UnitLayer, device_of, unit_costs

log = logging.getLogger(__name__)

Scale = Mapping[str, float] | None  # unit layer -> factor; 1 where it has none

LATENCY_BATCH = 32
# Samples of the dense network, for compensation layer by layer, are kept in memory up to this size, bytes.
_SHARED_SAMPLES = 1 << 30


@dataclass(frozen=True)
class Ordering:
    """How units are ordered, and after what an error counts: three settings of the ``prune`` section."""

    order: str
    compensate: str
    bn: str


@dataclass
class BatchSizes:
    """Images in one pass; halved in place when memory runs out.

    Attributes:
        attribution: In a forward and backward: of relevance, and of what samples are weighted by.
        forward: In any other forward.
    """

    attribution: int = 20
    forward: int = 50

    def halve(self) -> None:
        """Half as many, but at least one."""
        self.attribution, self.forward = max(1, self.attribution // 2), max(1, self.forward // 2)


@dataclass(eq=False, repr=False)
class DenseNetwork:
    """The dense network on its reference images, and what compensation, orders and budgets need of it.

    Everything is computed when it is first asked for, and kept.

    Attributes:
        model: In eval mode; never changed.
        units: Its unit layers.
        images: (N, 3, H, W) reference images, normalised, or texts, on the model's device.
        batch: Images in one pass.
        calibration: What statistics are taken of, in place of the reference images, if it is not None.
        select: The task's logits, of all; None: all.
    """

    model: nn.Module
    units: Sequence[UnitLayer]
    images: Inputs
    batch: BatchSizes = field(default_factory=BatchSizes)
    calibration: LabelledImages | None = None
    select: Callable[[Tensor], Tensor] | None = None
    _inputs: Mapping[str, ConsumerInputs] | None = field(default=None, init=False, repr=False)
    _statistics: Statistics | None = field(default=None, init=False, repr=False)
    _samples: tuple[DenseSamples | None] | None = field(default=None, init=False, repr=False)
    _batchnorm: BatchNormStatistics | None = field(default=None, init=False, repr=False)
    _joint_orders: dict[str, JointOrder] = field(default_factory=dict, init=False, repr=False)
    _divergences: dict[Ordering, dict[str, Divergences]] = field(default_factory=dict, init=False, repr=False)
    _unit_costs: dict[str, Mapping[str, Tensor]] = field(default_factory=dict, init=False, repr=False)
    _coupled: Sequence[Sequence[str]] | None = field(default=None, init=False, repr=False)
    _costs: dict[bool, Cost] = field(default_factory=dict, init=False, repr=False)

    @property
    def example(self) -> Inputs:
        """One input, (1, 3, H, W), or a text."""
        return part_of(self.images, slice(0, 1))

    @property
    def statistics_images(self) -> Inputs | ImageStream:
        """The images that statistics are taken of: the calibration images, or else the reference images.

        Calibration images are decoded as they come, ``batch.attribution`` at a time, so that of many pictures
        one batch is in memory.
        """
        calibration = self.calibration
        if calibration is None:
            return self.images

        def batches() -> Iterator[Inputs]:
            for images, _ in calibration.batches(self.batch.attribution, device_of(self.model)):
                yield images

        return ImageStream(len(calibration), batches, self.batch.attribution)

    @property
    def inputs(self) -> Mapping[str, ConsumerInputs]:
        """Which units each consumer reads; only those that can be removed have consumers of their own."""
        if self._inputs is None:
            self._inputs = inputs_of(self.model, self.units, self.example)
        return self._inputs

    @property
    def underdetermined(self) -> str | None:
        """A warning where linear compensation is fitted on fewer images than a consumer has channels."""
        if self.calibration is not None:
            count = len(self.calibration)
        else:  # each position of a text is a sample
            count = tokens_of(self.images) if is_text(self.images) else count_of(self.images)
        widest = max(self.inputs.values(), key=lambda own: own.channels, default=None)
        if widest is None or widest.channels <= count:
            return None
        return (
            f"{count} images for the {widest.channels} channels that {widest.module} reads: compensation is "
            "underdetermined and leans on its ridge; prune.calibration_root adds pictures"
        )

    @property
    def statistics(self) -> Statistics:
        """What consumers read, as moments: for compensation all at once, and for the joint order."""
        if self._statistics is None:
            self._statistics = statistics_of(
                self.model, self.units, self.statistics_images, self.batch.attribution
            )
        return self._statistics

    @property
    def samples(self) -> DenseSamples | None:
        """What consumers read, for compensation layer by layer; None where it would take too much memory."""
        if self.calibration is not None:  # any number of them
            return None
        if self._samples is None:
            found = samples_of(
                self.model, self.units, self.images, self.batch.attribution, at_most=_SHARED_SAMPLES
            )
            self._samples = (found,)
        return self._samples[0]

    @property
    def batchnorm(self) -> BatchNormStatistics:
        """BatchNorm's statistics, which recalibration moves by the difference that pruning makes."""
        if self._batchnorm is None:
            self._batchnorm = BatchNormStatistics.of(self.model, self.statistics_images, self.batch.forward)
        return self._batchnorm

    def joint_order(self, compensation: str) -> JointOrder:
        """The order in which a layer's units are removed jointly, under a compensation."""
        if compensation not in self._joint_orders:
            order = JointOrder.of(self.model, self.units, self.statistics, compensation)
            self._joint_orders[compensation] = order
        return self._joint_orders[compensation]

    def in_order(self, scores: Scores, how: Ordering, scale: Scale) -> Scores:
        """Values that rank units in a joint order.

        Args:
            scores: Of the units.
            how: The order is ``joint`` or ``error``.
            scale: Factors of the layers' values by error; their scores have them already.
        """
        joint = self.joint_order(how.compensate)
        if how.order == "joint":
            return joint.scores(scores)
        if how not in self._divergences:
            log.info("Measuring how far the answers move when each layer loses units")
            self._divergences[how] = divergences(
                self.model,
                self.units,
                self.images,
                joint,
                self.statistics,
                how.compensate,
                bn=how.bn,
                select=self.select,
                batch_size=self.batch.forward,
            )
        errors, scale = joint.errors(scores, self._divergences[how]), scale or {}
        return {name: own * scale.get(name, 1.0) for name, own in errors.items()}

    def unit_costs(self, budget: str) -> Mapping[str, Tensor]:
        """Unit layer -> what each unit costs, for a budget of ``params`` or ``macs``."""
        if budget not in self._unit_costs:
            self._unit_costs[budget] = unit_costs(self.model, self.units, budget, self.example)
        return self._unit_costs[budget]

    @property
    def coupled(self) -> Sequence[Sequence[str]]:
        """Unit layers that share their channels (a residual stream's)."""
        if self._coupled is None:
            self._coupled = couple(self.model, self.units, self.example)
        return self._coupled

    def cost(self, *, timed: bool = False) -> Cost:
        """Parameters, MACs and bytes; ``timed``: and latency at batch `LATENCY_BATCH`."""
        if timed not in self._costs:
            batches = (LATENCY_BATCH,) if timed else ()
            self._costs[timed] = cost(self.model, self.example, batches, min_seconds=0.5)
        return self._costs[timed]


@dataclass(eq=False, repr=False)
class Caches:
    """The last results of a session, which the next call often needs.

    Attributes:
        relevances: Relevance of the last recipes that were attributed.
        ordered: The last scores that were ordered jointly: (scores, how, ordered scores).
        accuracy: Precision -> top-1 of the dense network on the validation images.
    """

    relevances: dict[AttributionKey, Relevance] = field(default_factory=dict)
    ordered: tuple[Scores, Ordering, Scores] | None = None
    accuracy: dict[str, Accuracy] = field(default_factory=dict)

    def in_order(self, scores: Scores, dense: DenseNetwork, how: Ordering, scale: Scale) -> Scores:
        """As `DenseNetwork.in_order`; the result of the last call is reused."""
        last = self.ordered
        if last is None or last[0] is not scores or last[1] != how:
            last = (scores, how, dense.in_order(scores, how, scale))
            self.ordered = last
        return last[2]
