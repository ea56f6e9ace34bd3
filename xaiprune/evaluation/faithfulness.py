"""Faithfulness of relevance: patches of images, or tokens of texts, are flipped, the most relevant first and
the least relevant first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import trapezoid
from scipy.stats import norm
from torch import Tensor, nn
from torch.nn import functional as F

from xaiprune.data import Task
from xaiprune.errors import XaipruneError
from xaiprune.forward import logits

PATCHES = 14  # a side by default; on 224 x 224 images these are a ViT's patches of 16 pixels


@dataclass(frozen=True)
class Faithfulness:
    """The explained logit while patches of images or tokens of texts are flipped.

    With faithful relevance it falls at once when the most relevant parts are flipped first (MoRF) and stays
    high for long when the least relevant are (LeRF). The area between the two curves is one number for both.

    Attributes:
        flipped: (S,) fraction of patches or tokens flipped at each step, from 0 to 1.
        most_first: (S, N) the logit of each image or text, most relevant parts flipped first.
        least_first: (S, N) likewise, least relevant parts flipped first.
        of: What there are N of, for people.
    """

    flipped: np.ndarray
    most_first: np.ndarray
    least_first: np.ndarray
    of: str = "images"

    @property
    def per_image(self) -> np.ndarray:
        """(N,) area between the curves by the trapezoid rule, in logits."""
        return np.asarray(trapezoid(self.least_first - self.most_first, self.flipped, axis=0))

    @property
    def area(self) -> float:
        """Mean over images or texts, in logits; higher is more faithful, at random it is 0 on average."""
        return float(self.per_image.mean())

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the mean area over images or texts (normal approximation); NaN with one."""
        area = self.per_image
        if len(area) < 2:
            return float("nan"), float("nan")
        half = float(norm.ppf((1 + level) / 2)) * float(area.std(ddof=1)) / np.sqrt(len(area))
        return self.area - half, self.area + half

    def __str__(self) -> str:
        low, high = self.interval()
        return (
            f"{self.area:.3f} [{low:.3f}, {high:.3f}] logits between the curves, "
            f"{len(self.per_image)} {self.of}"
        )


def faithfulness(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    relevance: Tensor,
    task: Task,
    *,
    patch: int | None = None,
    steps: int = 10,
    batch_size: int = 50,
) -> Faithfulness:
    """Flip patches in the order of a heatmap and record the right class's logit.

    Patch flipping as in AttnLRP (arXiv 2402.05602, section 4.1), after Samek et al. 2017 (arXiv 1509.06321).
    A flipped patch takes the mean colour, which is zero after normalisation.

    Args:
        model: In eval mode, on the images' device.
        images: (N, 3, H, W), normalised.
        labels: (N,) index of the right class among the task's.
        relevance: (N, H, W), from `xaiprune.attribution.heatmap.heatmaps`; patches are ordered by the sum
            over their pixels.
        task: Selects the logits of its classes.
        patch: Side of a patch in pixels; None: a fourteenth of the image's shorter side.
        steps: Points of the curves after the first, evenly spaced over the patches.
        batch_size: Images in one forward.

    Raises:
        XaipruneError: Relevance is not finite, its size is not the images', or patches are larger than
            images.
    """
    height, width = images.shape[-2:]
    side = max(1, min(height, width) // PATCHES) if patch is None else patch
    if side > min(height, width):
        raise XaipruneError(f"patches of {side} pixels are larger than images of {height} x {width}")
    if relevance.shape != (len(images), height, width):
        raise XaipruneError(
            f"relevance is {tuple(relevance.shape)}, the images are {(len(images), height, width)}"
        )
    if not bool(relevance.isfinite().all()):
        raise XaipruneError("relevance of the image is not finite; choose another composite")
    order = (
        _patch_sums(relevance, side).flatten(1).argsort(dim=1, descending=True, stable=True).to(images.device)
    )
    patches = order.shape[1]
    counts = np.unique(np.linspace(0, patches, steps + 1).round().astype(int))

    def curve(order: Tensor) -> np.ndarray:
        rows = []
        for count in counts:
            values = [
                _right_logits(model, _flip(part, first[:, :count], side), right, task)
                for part, first, right in zip(
                    images.split(batch_size), order.split(batch_size), labels.split(batch_size), strict=True
                )
            ]
            rows.append(torch.cat(values).double().cpu().numpy())
        return np.stack(rows)

    return Faithfulness(counts / patches, curve(order), curve(order.flip(1)))


def _patch_sums(relevance: Tensor, side: int) -> Tensor:
    """(N, H, W) -> (N, rows, columns); patches at the lower and right edge may be smaller."""
    height, width = relevance.shape[-2:]
    padded = F.pad(relevance, (0, -width % side, 0, -height % side))
    rows, columns = padded.shape[-2] // side, padded.shape[-1] // side
    return padded.reshape(len(relevance), rows, side, columns, side).sum((2, 4))


def _flip(images: Tensor, patches: Tensor, side: int) -> Tensor:
    """The images with those patches (N, k) set to zero."""
    height, width = images.shape[-2:]
    rows, columns = -(-height // side), -(-width // side)
    kept = torch.ones(len(images), rows * columns, device=images.device)
    kept.scatter_(1, patches, 0.0)
    kept = kept.reshape(len(images), 1, rows, columns)
    mask = kept.repeat_interleave(side, 2).repeat_interleave(side, 3)[..., :height, :width]
    return images * mask


@torch.inference_mode()
def _right_logits(model: nn.Module, images: Tensor, labels: Tensor, task: Task) -> Tensor:
    return task.select(logits(model, images)).gather(1, labels.to(images.device)[:, None])[:, 0]
