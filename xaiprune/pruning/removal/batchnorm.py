"""Recalibrates BatchNorm's statistics on the pruned network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xaiprune.forward import Inputs, as_input, count_of, is_text, run
from xaiprune.pruning.statistics import ImageStream
from xaiprune.units import evaluating

_Moments = tuple[Tensor, Tensor]
_IMAGES = 512  # so many, or up to twice as many: statistics of each are kept


@dataclass(frozen=True)
class BatchNormStatistics:
    """What the dense network's BatchNorms read.

    Attributes:
        running: Module -> mean and variance, each (channels,), from training.
        measured: Module -> mean and variance of each reference image, each (images, channels).
    """

    running: Mapping[str, _Moments]
    measured: Mapping[str, _Moments]

    @staticmethod
    def of(model: nn.Module, images: Inputs | ImageStream, batch_size: int = 50) -> BatchNormStatistics:
        """Those of a network, which stays as it is; the arguments are `recalibrate_bn_`'s."""
        running = {name: (norm.running_mean, norm.running_var) for name, norm in _norms(model).items()}
        kept = {name: (m.clone(), v.clone()) for name, (m, v) in running.items()}  # type: ignore[union-attr]
        return BatchNormStatistics(kept, _measured(model, images, batch_size))


def recalibrate_bn_(
    model: nn.Module,
    images: Inputs | ImageStream,
    batch_size: int = 50,
    dense: BatchNormStatistics | None = None,
) -> None:
    """Replace every BatchNorm's running statistics by those of the pruned network, in place.

    A few hundred images are a small sample: a dense network loses several points by replacing its statistics
    by theirs. So where the dense network's are given, they are control variates: what the sample is wrong
    about in the dense network, it is as wrong about in the pruned one, as far as the images agree on it.

        mean = mean_p + b * (mean of training - mean_d)
        variance = variance_p * (variance of training / variance_d) ** c

    p and d are measured on the images, of the pruned and the dense network. b is the slope of the images'
    means in p over those in d, and c of their squared deviations, relative to the mean one. What pruning does
    not reach has slopes of 1 and keeps its statistics.

    Args:
        model: The pruned network; if its units are only masked, call this inside ``masked``.
        images: (N, 3, H, W), normalised, N >= 2; or a stream of so many. Of more than 1,023 every second,
            third and so on batch is used.
        batch_size: Images in one forward, if they are not a stream.
        dense: The dense network's, on the same images; its modules have as many channels. None: the measured
            statistics are taken as they are.
    """
    found = _measured(model, images, batch_size)
    for name, norm in _norms(model).items():
        if name not in found:  # it is never called
            continue
        mean, deviations = _statistics(found[name])
        variance = deviations.mean(0)
        if dense is not None:
            sampled, sampled_deviations = _statistics(dense.measured[name])
            sampled_variance = sampled_deviations.mean(0)
            own_mean, own_variance = dense.running[name]
            slope = _slope(found[name][0], dense.measured[name][0])
            mean = mean + slope * (own_mean - sampled)
            power = _slope(_relative(deviations), _relative(sampled_deviations))
            ratio = (own_variance + norm.eps) / (sampled_variance + norm.eps)
            variance = variance * ratio**power
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]


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


def _measured(model: nn.Module, images: Inputs | ImageStream, batch_size: int) -> dict[str, _Moments]:
    """Mean and variance of what each BatchNorm reads of each image, where all normalise by their batch."""
    means: dict[str, list[Tensor]] = {}
    variances: dict[str, list[Tensor]] = {}

    def read(name: str, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        positions = args[0].float().flatten(2) if args[0].dim() > 2 else args[0].float().unsqueeze(2)
        means.setdefault(name, []).append(positions.mean(2))
        variances.setdefault(name, []).append(positions.var(2, correction=0))

    norms = _norms(model)
    if not norms:
        return {}
    with ExitStack() as block, torch.no_grad():
        block.enter_context(evaluating(model))
        block.enter_context(batch_statistics(model))
        for name, norm in norms.items():
            block.enter_context(norm.register_forward_pre_hook(partial(read, name)))
        stream = ImageStream.of(images, batch_size)
        apart = max(1, len(stream) // _IMAGES)
        for number, part in enumerate(_parts(stream)):
            if number % apart == 0:
                run(model, as_input(model, part))
    return {name: (torch.cat(means[name]), torch.cat(variances[name])) for name in means}


def _statistics(of_images: _Moments) -> _Moments:
    """The mean over all images, (channels,), and each image's mean square distance from it."""
    means, variances = of_images
    mean = means.mean(0)
    return mean, variances + (means - mean).square()


def _relative(deviations: Tensor) -> Tensor:
    return deviations / deviations.mean(0).clamp_min(torch.finfo(deviations.dtype).tiny)


def _slope(y: Tensor, x: Tensor) -> Tensor:
    """Of each column of y over that of x, (images, channels) -> (channels,); 0 where x or y is constant."""
    x, y = x - x.mean(0), y - y.mean(0)
    return (x * y).sum(0).clamp_min(0) / x.square().sum(0).clamp_min(torch.finfo(x.dtype).tiny)


def _parts(images: ImageStream) -> Iterator[Inputs]:
    last: Inputs | None = None
    for _, part in images.numbered():
        if last is not None and (count_of(part) > 1 or is_text(part)):
            yield last
            last = None
        last = part if last is None else torch.cat([last, part])  # type: ignore[list-item]
    if last is not None:
        yield last
