"""What is explained: the right class of an image or text, or tokens at positions of a text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xaiprune.errors import XaipruneError
from xaiprune.forward import IGNORED, no_logits


@dataclass(frozen=True)
class TokenTargets:
    """Any set of (position, token) pairs, each with a weight; a contrast of two tokens has weights 1 and -1.

    Attributes:
        windows: (K,) int64: the text of each pair, as a row of the batch.
        positions: (K,) int64: where its logit is read; that of the token at t is read at t - 1.
        tokens: (K,) int64: whose logit.
        weights: (K,) float: the pair's part of what is explained.
        count: How many texts there are, those without pairs included.
    """

    windows: Tensor
    positions: Tensor
    tokens: Tensor
    weights: Tensor
    count: int

    def __post_init__(self) -> None:
        sizes = {tuple(part.shape) for part in (self.windows, self.positions, self.tokens, self.weights)}
        if len(sizes) != 1 or len(next(iter(sizes))) != 1:
            raise XaipruneError(
                f"targets need windows, positions, tokens and weights of one size (K,), got {sorted(sizes)}"
            )

    def __len__(self) -> int:
        return self.count


Labels = Tensor | TokenTargets
"""(N,) classes, int64; (N, T) tokens, -100 where a position has none; or pairs of positions and tokens."""


def labels_of(labels: Labels, part: slice, device: torch.device | str = "cpu") -> Labels:
    """The labels of some images or texts, on a device."""
    if isinstance(labels, Tensor):
        return labels[part].to(device)
    first, last, _ = part.indices(labels.count)
    mine = (labels.windows >= first) & (labels.windows < last)
    parts = (labels.windows - first, labels.positions, labels.tokens, labels.weights)
    windows, positions, tokens, weights = (tensor[mine].to(device) for tensor in parts)
    return TokenTargets(windows, positions, tokens, weights, max(0, last - first))


def target_values(values: Tensor, labels: Labels) -> tuple[Tensor, Tensor | None]:
    """The values of what is explained.

    Args:
        values: (N, classes), or (N, T, vocabulary): logits, or what was made of them.
        labels: As `Labels` says, on the same device.

    Returns:
        The labelled values, (N,), (N, T) or (K,), and the weight of each; None: all count alike.

    Raises:
        XaipruneError: Labels of another form than the logits, or outside the classes.
    """
    check_fit(values, labels)
    if isinstance(labels, TokenTargets):
        return values[labels.windows, labels.positions, labels.tokens], labels.weights.to(values.dtype)
    picked = values.gather(-1, labels.clamp_min(0)[..., None])[..., 0]
    return picked, None if labels.dim() == 1 else (labels != IGNORED).to(values.dtype)


def normal(labels: Labels) -> Labels:
    """The same labels in tensors that autograd can save, which it cannot with those of inference_mode."""
    if isinstance(labels, Tensor):
        return labels.clone()
    parts = (labels.windows, labels.positions, labels.tokens, labels.weights)
    windows, positions, tokens, weights = (part.clone() for part in parts)
    return TokenTargets(windows, positions, tokens, weights, labels.count)


def weighted_sum(values: Tensor, weights: Tensor | None) -> Tensor:
    """The weighted sum of labelled values (`target_values`)."""
    return values.sum() if weights is None else (values * weights).sum()


def by_image(values: Tensor, weights: Tensor | None, labels: Labels) -> Tensor:
    """The weighted sum of labelled values (`target_values`) for each image or text, (N,)."""
    if weights is None:
        return values
    if isinstance(labels, TokenTargets):
        return values.new_zeros(len(labels)).index_add(0, labels.windows, values * weights)
    return (values * weights).sum(1)


def confidence(logits: Tensor, labels: Labels) -> Tensor:
    """Softmax probability of what is explained, (N,); of a text, the mean over its labelled tokens.

    Args:
        logits: (N, classes), or (N, T, vocabulary).
        labels: As `Labels` says.
    """
    found, weights = target_values(logits.softmax(-1), labels)
    if weights is None:
        return found
    counted = (weights != 0).to(found.dtype)
    return by_image(found, counted, labels) / by_image(counted, counted, labels).clamp_min(1)


def check_labels(labels: Labels, count: int) -> None:
    """Refuse labels that are not one for each image, or for each position of each text.

    Raises:
        XaipruneError: Says what came instead.
    """
    if len(labels) != count:
        raise XaipruneError(f"attribution: {count} images but {len(labels)} labels")
    nowhere = not len(labels.tokens) if isinstance(labels, TokenTargets) else bool((labels == IGNORED).all())
    if nowhere:
        raise XaipruneError("attribution: no position has a label, so there is nothing to explain")
    if isinstance(labels, Tensor) and (labels.is_floating_point() or labels.dim() not in (1, 2)):
        raise XaipruneError(
            f"attribution: labels must be (N,) class indices or (N, T) tokens, "
            f"got {tuple(labels.shape)} {labels.dtype}"
        )


def check_fit(logits: Tensor, labels: Labels) -> None:
    """Refuse labels that the logits do not have.

    Args:
        logits: (N, classes), or (N, T, vocabulary), also of some of the images only.
        labels: Of all images.

    Raises:
        XaipruneError: Labels of another form than the logits, or outside the classes.
    """
    if logits.dim() != (2 if isinstance(labels, Tensor) and labels.dim() == 1 else 3):
        raise no_logits(f"shape {tuple(logits.shape)}")
    if isinstance(labels, TokenTargets):
        _check_range("windows", labels.windows, len(labels))
        _check_range("positions", labels.positions, logits.shape[1])
        _check_range("labels", labels.tokens, logits.shape[2])
        return
    if labels.dim() == 2 and labels.shape[1] != logits.shape[1]:
        raise XaipruneError(
            f"labels of {tuple(labels.shape)} do not fit logits of {tuple(logits.shape)}: "
            "there is one label for each position"
        )
    _check_range("labels", labels if labels.dim() == 1 else labels[labels != IGNORED], logits.shape[-1])


def _check_range(name: str, values: Tensor, size: int) -> None:
    if not len(values):
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= size:
        raise XaipruneError(f"{name} must be in 0..{size - 1} (there are {size}), got {low}..{high}")
