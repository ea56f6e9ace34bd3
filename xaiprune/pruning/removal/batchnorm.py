"""Recalibrates BatchNorm's statistics on the pruned network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xaiprune.forward import as_input
from xaiprune.pruning.statistics import ImageStream
from xaiprune.units import copied, evaluating

_Moments = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class BatchNormStatistics:
    """Statistics of the dense network's BatchNorms.

    Attributes:
        running: Module -> (mean, variance), each (channels,), from training.
        measured: The same on the reference images.
    """

    running: Mapping[str, _Moments]
    measured: Mapping[str, _Moments]

    @staticmethod
    def of(model: nn.Module, images: Tensor | ImageStream, batch_size: int = 50) -> BatchNormStatistics:
        """Those of a network, which stays as it is; the arguments are `recalibrate_bn_`'s."""
        measured = copied(model)
        recalibrate_bn_(measured, images, batch_size)
        return BatchNormStatistics(_moments(model), _moments(measured))


def recalibrate_bn_(
    model: nn.Module,
    images: Tensor | ImageStream,
    batch_size: int = 50,
    dense: BatchNormStatistics | None = None,
) -> None:
    """Replace every BatchNorm's running statistics, in place.

    The statistics are measured on the images, averaged over batches; a last batch of one image is added to
    the one before it. A few hundred images are a small sample: a dense network loses several points by
    replacing its statistics. So where the dense network's are given, they are moved by the difference that
    pruning makes on the same images, in which most of the sample's own error cancels:

        mean = mean_dense + (mean_pruned - mean_dense on the images)
        variance = variance_dense * (variance_pruned / variance_dense on the images)

    Args:
        model: The pruned network; if its units are only masked, call this inside ``masked``.
        images: (N, 3, H, W), normalised, N >= 2; or a stream of so many.
        batch_size: Images in one forward, if they are not a stream.
        dense: The dense network's, on the same images; its modules have as many channels. None: the measured
            statistics are taken as they are.
    """
    norms = _norms(model)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms.values()]
    with evaluating(model), torch.no_grad():
        try:
            for norm in norms.values():
                norm.reset_running_stats()
                norm.momentum = None  # a plain average over batches
                norm.training = True
            for part in _parts(ImageStream.of(images, batch_size)):
                model(as_input(model, part))
        finally:
            for norm, momentum in zip(norms.values(), momenta, strict=True):
                norm.momentum = momentum
        if dense is not None:
            for name, norm in norms.items():
                own, sampled = _statistics(norm), dense.measured[name]
                mean, variance = dense.running[name]
                own[0].add_(mean - sampled[0])
                own[1].add_(norm.eps).div_(sampled[1] + norm.eps).mul_(variance)


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Inside the block, every BatchNorm normalises by the batch at hand, and its running statistics stay.

    The answers are those of a network whose statistics were recalibrated on this batch, for one forward.
    """
    norms = list(_norms(model).values())
    before = [(norm.momentum, norm.training, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.training, norm.num_batches_tracked = 0.0, True, None
        yield
    finally:
        for norm, (momentum, training, count) in zip(norms, before, strict=True):
            norm.momentum, norm.training, norm.num_batches_tracked = momentum, training, count


def has_batchnorm(model: nn.Module) -> bool:
    """Whether a network has statistics that `recalibrate_bn_` replaces."""
    return bool(_norms(model))


def _norms(model: nn.Module) -> dict[str, _BatchNorm]:
    found = {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
    return {name: norm for name, norm in found.items() if norm.track_running_stats}


def _statistics(norm: _BatchNorm) -> _Moments:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def _moments(model: nn.Module) -> dict[str, _Moments]:
    kept = {name: _statistics(norm) for name, norm in _norms(model).items()}
    return {name: (mean.clone(), variance.clone()) for name, (mean, variance) in kept.items()}


def _parts(images: ImageStream) -> Iterator[Tensor]:
    last: Tensor | None = None
    for _, part in images.numbered():
        if last is not None and len(part) > 1:
            yield last
            last = None
        last = part if last is None else torch.cat([last, part])
    if last is not None:
        yield last
