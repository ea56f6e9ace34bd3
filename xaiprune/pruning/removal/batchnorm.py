"""Recalibrates BatchNorm's statistics on the pruned network."""

import torch
from torch import Tensor, nn

from xaiprune.units import evaluating


def recalibrate_bn_(model: nn.Module, images: Tensor, batch_size: int = 50) -> None:
    """Replace every BatchNorm's running statistics by those of the images, in place.

    On a network that is only masked, call it inside ``masked``. The statistics are averaged over batches; a
    last batch of one image is added to the one before it.

    Args:
        model: The pruned network.
        images: (N, 3, H, W), normalised, N >= 2.
        batch_size: Images in one forward.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    with evaluating(model), torch.no_grad():
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a plain average over batches
                norm.training = True
            for part in _parts(images, batch_size):
                model(part)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum


def _parts(images: Tensor, batch_size: int) -> list[Tensor]:
    parts = list(images.split(batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        last = parts.pop()
        parts[-1] = torch.cat([parts[-1], last])
    return parts
