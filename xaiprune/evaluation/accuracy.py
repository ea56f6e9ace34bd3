"""Top-1 over labelled images or next tokens, with its interval."""

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from xaiprune.data import ImagesLike, Task, as_images
from xaiprune.errors import XaipruneError
from xaiprune.evaluation.counts import Accuracy, TokenAccuracy
from xaiprune.forward import IGNORED, is_text, logits
from xaiprune.progress import progress
from xaiprune.units import device_of

Precision = Literal["float32", "bfloat16"]


def accuracy(
    model: nn.Module,
    images: ImagesLike,
    task: Task | None = None,
    batch_size: int = 100,
    device: torch.device | str | None = None,
    precision: Precision = "float32",
) -> Accuracy:
    """Classify the images among the task's classes, or foretell the next tokens of windows of text.

    Args:
        model: The network, in eval mode; (n, 3, H, W) -> (n, outputs).
        images: `LabelledImages`, a pair (images (N, channels, H, W), labels (N,)) of tensors, or a torch
            ``DataLoader`` or dataset of such pairs.
        task: Which outputs are its classes; None: all.
        batch_size: Images in one forward.
        device: Where to run; None: where the model is.
        precision: ``bfloat16`` runs matrix products and convolutions in that type (torch's autocast): several
            times as fast on GPUs and on CPUs with AMX, slower on others. It has three significant digits, so
            an image whose two highest logits are nearly equal can change its class.

    Raises:
        XaipruneError: If there are no images, or the network gives NaN.
    """
    images = as_images(images)
    if not len(images):
        raise XaipruneError(f"there are no images to evaluate on: {images!r}")
    if not images.labelled:
        raise XaipruneError(f"{images!r} have no labels, so there is no top-1; give images in class folders")
    if device is None:
        device = device_of(model)
    kind, low = torch.device(device).type, precision == "bfloat16"
    correct, losses = [], []
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=low):
        parts = images.batches(batch_size, device)
        for pixels, labels in progress(parts, "classifying", total=math.ceil(len(images) / batch_size)):
            if isinstance(pixels, torch.Tensor) and kind == "cpu" and not is_text(pixels):
                # Makes convolutions on a CPU 1.2 to 1.6 times as fast; costs other layers nothing.
                pixels = pixels.contiguous(memory_format=torch.channels_last)
            found = logits(model, pixels)
            found = (found if task is None else task.select(found)).float()
            if bool(found.isnan().any()):
                raise XaipruneError("the network gives NaN; its weights or the pruning are broken")
            labels = labels.to(found.device)
            right = found.argmax(-1) == labels  # never where a position has no label
            if labels.dim() == 2:
                loss = F.cross_entropy(found.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
                losses.append(loss.double().sum(1).cpu().numpy())
                right = right.sum(1)
            correct.append(right.cpu().numpy())
    counted = np.concatenate(correct)
    if not losses:
        return Accuracy.of(counted, images.noun)
    return TokenAccuracy.of_windows(counted, np.concatenate(losses), images.answers)
