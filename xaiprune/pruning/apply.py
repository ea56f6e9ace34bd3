"""Apply a plan: compensate, recalibrate, remove, in this order."""

from collections.abc import Sequence

from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning.compensation import compensate as compensated
from xaiprune.pruning.mask import masked
from xaiprune.pruning.plan import PlanLike, units_to_remove
from xaiprune.pruning.removal import (
    BatchNormStatistics,
    Removal,
    has_batchnorm,
    recalibrate_bn_,
    remove_with_report,
)
from xaiprune.pruning.statistics import DenseSamples, ImageStream, Statistics
from xaiprune.units import UnitLayer, copied

BN = ("keep", "recalibrate")


def apply_plan(
    model: nn.Module,
    plan: PlanLike,
    units: Sequence[UnitLayer],
    images: Tensor | ImageStream,
    example: Tensor | None = None,
    *,
    compensate: str = "none",
    sequential: bool = True,
    statistics: Statistics | None = None,
    dense: DenseSamples | None = None,
    coupled: str = "mask",
    bn: str = "keep",
    dense_bn: BatchNormStatistics | None = None,
    batch_size: int = 50,
    check: bool = True,
) -> Removal:
    """The smaller network that a plan asks for.

    Args:
        model: The dense network, in eval mode; unchanged.
        plan: The units to remove.
        units: The network's unit layers.
        images: Reference images (N, 3, H, W), normalised, on the model's device, or a stream of them; N >= 2
            for compensation and recalibration.
        example: One input (1, 3, H, W); a blank image of their size if None.
        compensate: ``none``, ``mean`` or ``linear``.
        sequential: Compensate layer by layer, else all consumers from the dense network's statistics.
        statistics: The dense network's, from `statistics_of`, to serve many plans; collected if None. Not
            used if sequential.
        dense: What the dense network's consumers read, from `samples_of`, likewise; used if sequential only.
        coupled: ``mask`` or ``group``, what happens to units that write into a residual stream.
        bn: ``keep`` BatchNorm's statistics, or ``recalibrate`` them, where anything is removed: move them by
            the difference that this makes on the images (`recalibrate_bn_`).
        dense_bn: The dense network's statistics, to serve many plans; measured if None. Used if recalibrated.
        batch_size: Images in one forward.
        check: Compare the smaller network with the masked one before it is returned.

    Returns:
        The smaller network in eval mode, and what became of the plan's units.

    Raises:
        XaipruneError: A setting is unknown, the plan is for another network or would empty a layer, there
            are too few images, or the smaller network does not give the masked one's output.
    """
    if bn not in BN:
        raise XaipruneError(f"prune.bn={bn} is unknown; choose one of {', '.join(BN)}")
    if example is None:
        example = ImageStream.of(images, batch_size).blank()
    smaller, removes = model, any(units_to_remove(plan, units).values())
    if compensate != "none":
        smaller = compensated(
            model,
            plan,
            units,
            images,
            compensate,
            sequential=sequential,
            statistics=statistics,
            dense=dense,
            batch_size=batch_size,
        )
    if bn == "recalibrate" and removes and has_batchnorm(model):
        smaller = copied(model) if smaller is model else smaller
        with masked(smaller, plan, units):
            dense_bn = dense_bn or BatchNormStatistics.of(model, images, batch_size)
            recalibrate_bn_(smaller, images, batch_size, dense_bn)
    return remove_with_report(smaller, plan, units, example, coupled, check=check)
