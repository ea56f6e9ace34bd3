"""Measures how far the answers move when one layer loses units, so that layers can be compared."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import pairwise

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, count_of, logits, part_of
from xaiprune.progress import progress
from xaiprune.pruning.compensation import compensate
from xaiprune.pruning.joint import Divergences, JointOrder
from xaiprune.pruning.mask import masked
from xaiprune.pruning.removal import batch_statistics
from xaiprune.pruning.statistics import Statistics
from xaiprune.units import UnitLayer

# Fractions of a layer that are removed, and the images that tell what it does: on ImageNet networks more of
# either change little.
_REMOVED = (0.4, 0.8)
_IMAGES = 64
_NUMBERS = 25_000_000  # probabilities that are kept of the dense network: 200 MB


def divergences(
    model: nn.Module,
    units: Sequence[UnitLayer],
    images: Inputs,
    order: JointOrder,
    statistics: Statistics,
    method: str,
    *,
    bn: str = "keep",
    select: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 50,
) -> dict[str, Divergences]:
    """How far the answers move when each layer alone loses 40 and 80 % of its units.

    Units are removed in the joint order that uses no scores, and compensated for. The distance is the mean
    KL(p, q) over images, where p are the dense network's probabilities and q the shortened network's. Unlike
    the errors in the outputs of consumers, it is comparable between layers: it counts what the layers behind
    do about an error, BatchNorm and shortcuts included.

    Args:
        model: The dense network, in eval mode; unchanged.
        units: Its unit layers.
        images: Reference images (N, 3, H, W), normalised, or texts, on the model's device; 64 are used,
            evenly spaced, or fewer texts, whose answers would take more than 200 MB.
        order: Of the network, under the same compensation; other layers than its own have no entry.
        statistics: The dense network's, from `statistics_of`.
        method: How removed units are compensated for: ``none``, ``mean`` or ``linear``.
        bn: ``keep``, or ``recalibrate``: both networks then answer with BatchNorm's statistics of each batch.
        select: The task's logits, of all (its ``select``); None: all.
        batch_size: Images in one forward, at most.

    Returns:
        Unit layer -> (units removed, divergence in nats) for each fraction, ascending in units.

    Raises:
        XaipruneError: Logits are not finite; names the layer.
    """
    batches = _chosen(model, images, batch_size)

    def log_probabilities(network: nn.Module) -> Tensor:
        normalised = batch_statistics(network) if bn == "recalibrate" else nullcontext()
        with torch.no_grad(), normalised:
            found = torch.cat([logits(network, part) for part in batches])
        return (found if select is None else select(found)).double().log_softmax(-1)

    dense, measured = log_probabilities(model), dict[str, Divergences]()
    for name in progress(order.losses, "measuring the errors of layers"):
        removed, _ = order.removal(name)
        measured[name] = []
        for count in sorted({round(part * len(removed)) for part in _REMOVED} - {0, len(removed)}):
            plan = {name: sorted(removed[:count].tolist())}
            shorter = compensate(model, plan, units, images, method, sequential=False, statistics=statistics)
            with masked(shorter, plan, units):
                found = log_probabilities(shorter)
            divergence = float((dense.exp() * (dense - found)).sum(-1).mean().clamp_min(0))
            if not divergence < torch.inf:
                raise XaipruneError(
                    f"prune.order=error: without {count} units of {name} the logits are not finite; "
                    "set prune.order=score"
                )
            measured[name].append((count, divergence))
    return measured


def _chosen(model: nn.Module, images: Inputs, batch_size: int) -> list[Inputs]:
    """Some of the images, evenly spaced, because they may be sorted by class; in batches of about one size.

    No batch has a single image, of which BatchNorm has no statistics.
    """
    with torch.no_grad():
        answers = logits(model, part_of(images, slice(1))).numel()
    total = count_of(images)
    count = min(total, _IMAGES, max(2, _NUMBERS // answers))
    apart = total // count
    chosen = part_of(images, slice(0, apart * count, apart))
    parts = min(-(-count // batch_size), max(1, count // 2))
    ends = [place * count // parts for place in range(parts + 1)]
    return [part_of(chosen, slice(*pair)) for pair in pairwise(ends)]
