"""Checked reference images in batches, and the right class's logit of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria.types import SelectsLogits
from xaiprune.attribution.targets import Labels, by_image, check_labels, labels_of, target_values
from xaiprune.embedding import Leaves
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, as_found, as_input, count_of, is_text, logits_of, part_of
from xaiprune.progress import progress
from xaiprune.units import evaluating
from xaiprune.units.batch_norm import BatchNormWrittenOut
from xaiprune.units.flow import device_of


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """The network in eval mode while it lasts; then its modes and what its modules keep are as they were."""
    with evaluating(model), as_found(model):
        yield


def batches(model: nn.Module, images: Inputs, labels: Labels, size: int) -> Iterator[tuple[Inputs, Labels]]:
    """Yield (images, labels) in order on the network's device, in its precision.

    Raises:
        XaipruneError: No images; images that are not (N, 3, H, W) or hold NaN or inf; text that is not ids
            (N, T); not one label for each image, or each position of a text; a batch size below 1.
    """
    check(images, labels, size)
    device = device_of(model)
    for start in progress(range(0, count_of(images), size), "ranking by the reference images"):
        part = slice(start, start + size)
        yield as_input(model, part_of(images, part)), labels_of(labels, part, device)


def independent_size(model: nn.Module, images: Inputs, size: int) -> int:
    """The batch size, or 1 where the images of a batch change each other's logits (a norm over the batch).

    Args:
        model: In eval mode.
        images: (N, 3, H, W), or text; the first two are tried.
        size: Images in one forward, at most.
    """
    if min(count_of(images), size) == 1:
        return size
    with torch.inference_mode(False), torch.enable_grad(), as_found(model), BatchNormWrittenOut():
        pair = Leaves(as_input(model, part_of(images, slice(0, 2))))
        logits = logits_of(pair.run(model))
        gradients = pair.gradients(logits[0].sum())
    return 1 if any(bool(g[1].any()) for g in gradients.values()) else size


def check(images: Inputs, labels: Labels, size: int) -> None:
    """Refuse images and labels that nothing can be computed from (see `batches`)."""
    if size < 1:
        raise XaipruneError(f"batch_size must be at least 1, got {size}")
    if count_of(images) == 0:
        raise XaipruneError("the reference set is empty; give at least one labelled image")
    if is_text(images) or not isinstance(labels, Tensor) or labels.dim() == 2:
        check_labels(labels, count_of(images))
        return
    assert isinstance(images, Tensor)
    if images.ndim != 4 or not images.is_floating_point():
        raise XaipruneError(
            f"reference images must be a float tensor (N, channels, H, W), "
            f"got {images.dtype} {tuple(images.shape)}"
        )
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


def right_logits(outputs: Any, labels: Labels, task: SelectsLogits | None) -> Tensor:
    """The logit of each image's labelled class, (N,); of a text the sum over its labelled positions.

    Args:
        outputs: What the network returned.
        labels: Of the same batch.
        task: As for criteria.

    Raises:
        XaipruneError: Labels outside the classes or of another form than the logits, or no logits.
    """
    logits = logits_of(outputs)
    return by_image(*target_values(logits if task is None else task.select(logits), labels), labels)
