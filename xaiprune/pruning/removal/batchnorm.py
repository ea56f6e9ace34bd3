"""Recalibrates BatchNorm's statistics on the pruned network."""

from collections.abc import Iterator

import torch
from torch import nn

from xaiprune.forward import Inputs, count_of, is_text, run
from xaiprune.pruning.statistics import ImageStream
from xaiprune.units import evaluating


def recalibrate_bn_(model: nn.Module, images: Inputs | ImageStream, batch_size: int = 50) -> None:
    """Replace every BatchNorm's running statistics by those of the images, in place.

    On a network that is only masked, call it inside ``masked``. The statistics are averaged over batches; a
    last batch of one image is added to the one before it.

    Args:
        model: The pruned network.
        images: (N, 3, H, W), normalised, N >= 2; or a stream of so many.
        batch_size: Images in one forward, if they are not a stream.
    """
    norms = _norms(model)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    with evaluating(model), torch.no_grad():
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a plain average over batches
                norm.training = True
            for part in _parts(ImageStream.of(images, batch_size)):
                run(model, part)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum


def has_batchnorm(model: nn.Module) -> bool:
    """Whether a network has statistics that `recalibrate_bn_` replaces."""
    return bool(_norms(model))


def _norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return [norm for norm in norms if norm.track_running_stats]


def _parts(images: ImageStream) -> Iterator[Inputs]:
    last: Inputs | None = None
    for _, part in images.numbered():
        if last is not None and (count_of(part) > 1 or is_text(part)):
            yield last
            last = None
        last = part if last is None else torch.cat([last, part])  # type: ignore[list-item]
    if last is not None:
        yield last
