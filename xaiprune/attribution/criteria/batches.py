"""Checked reference images in batches, and the right class's logit of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria.types import SelectsLogits
from xaiprune.errors import XaipruneError
from xaiprune.forward import as_found, as_input, logits_of
from xaiprune.units import evaluating
from xaiprune.units.batch_norm import BatchNormWrittenOut


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """The network in eval mode while it lasts; then its modes and what its modules keep are as they were."""
    with evaluating(model), as_found(model):
        yield


def batches(model: nn.Module, images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (images, labels) in order on the network's device, in its precision.

    Raises:
        XaipruneError: No images; images that are not (N, 3, H, W) or hold NaN or inf; not one label for each
            image; a batch size below 1.
    """
    check(images, labels, size)
    for start in range(0, len(images), size):
        part = as_input(model, images[start : start + size])
        yield part, labels[start : start + size].to(part.device)


def independent_size(model: nn.Module, images: Tensor, size: int) -> int:
    """The batch size, or 1 where the images of a batch change each other's logits (a norm over the batch).

    Args:
        model: In eval mode.
        images: (N, 3, H, W); the first two are tried.
        size: Images in one forward, at most.
    """
    if min(len(images), size) == 1:
        return size
    with torch.inference_mode(False), torch.enable_grad(), as_found(model), BatchNormWrittenOut():
        pair = as_input(model, images[:2]).detach().clone().requires_grad_()
        logits = logits_of(model(pair))
        (g,) = torch.autograd.grad(logits[0].sum(), pair, allow_unused=True, materialize_grads=True)
    return 1 if bool(g[1].any()) else size


def check(images: Tensor, labels: Tensor, size: int) -> None:
    """Refuse images and labels that nothing can be computed from (see `batches`)."""
    if images.ndim != 4 or not images.is_floating_point():
        raise XaipruneError(
            f"reference images must be a float tensor (N, channels, H, W), "
            f"got {images.dtype} {tuple(images.shape)}"
        )
    if len(images) == 0:
        raise XaipruneError("the reference set is empty; give at least one labelled image")
    if labels.shape != (len(images),) or labels.dtype != torch.int64:
        raise XaipruneError(
            f"labels must be int64 of shape ({len(images)},), one for each image, "
            f"got {labels.dtype} {tuple(labels.shape)}"
        )
    broken = (~torch.isfinite(images)).flatten(1).any(1).nonzero().flatten().tolist()
    if broken:
        raise XaipruneError(
            f"{len(broken)} of {len(images)} reference images hold NaN or inf (first: number {broken[0]}); "
            "check the image files and the normalisation"
        )
    if size < 1:
        raise XaipruneError(f"batch_size must be at least 1, got {size}")


def right_logits(outputs: Any, labels: Tensor, task: SelectsLogits | None) -> Tensor:
    """The logit of each image's labelled class, (N,).

    Args:
        outputs: What the network returned.
        labels: (N,).
        task: As for criteria.

    Raises:
        XaipruneError: A label outside the task's classes, or no logits.
    """
    logits = logits_of(outputs)
    logits = logits if task is None else task.select(logits)
    classes = logits.shape[1]
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise XaipruneError(f"labels must be in [0, {classes - 1}] ({classes} classes), got {low} to {high}")
    return logits.gather(1, labels[:, None]).squeeze(1)
