"""Which part of an activation belongs to which image of a batch.

Nothing says that an activation's first dimension runs over the images: networks work tokens-first, cut images
into windows, or append mirrored copies to the batch. So one image is compared with two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

_TOLERANCE = 0.05  # half precision, and what a GPU calls single; another image's activation is far off


@dataclass(frozen=True)
class ImageAxis:
    """The dimension of an activation that runs over images.

    Attributes:
        dim: The dimension; its size is a multiple of the number of images.
        interleaved: Whether the images take turns (as in ``cat([x, x.flip(3)])``); else, all that belongs to
            one image lies side by side.
    """

    dim: int = 0
    interleaved: bool = False

    def first(self, tensor: Tensor, images: int, last: int) -> Tensor:
        """A view (images, ..., channels).

        Args:
            tensor: An activation.
            images: How many images it is of.
            last: The dimension that runs over channels; another one than `dim`.
        """
        moved = tensor.movedim((self.dim, last), (0, -1))
        if self.interleaved:
            return moved.unflatten(0, (-1, images)).transpose(0, 1)
        return moved.unflatten(0, (images, -1))


def find_image_axis(one: Tensor, two: Tensor, channels: int) -> ImageAxis | None:
    """The axis over images, from an activation of one image and that of the same image and another.

    Args:
        one: Of the first image alone.
        two: Of both in one batch.
        channels: The dimension that runs over channels.

    Returns:
        None where no dimension has the first image's own activation: the images change each other, or lie in
        the channels.
    """
    if one.dim() != two.dim():
        return None
    grown = [dim for dim, size in enumerate(one.shape) if two.shape[dim] != size]
    if len(grown) != 1 or two.shape[grown[0]] != 2 * one.shape[grown[0]] or grown[0] == channels % one.dim():
        return None
    alone = ImageAxis(grown[0]).first(one, 1, channels)[0].double()
    found: dict[ImageAxis, float] = {}
    for axis in (ImageAxis(grown[0]), ImageAxis(grown[0], interleaved=True)):
        difference = axis.first(two, 2, channels)[0].double() - alone
        found[axis] = float(difference.norm() / alone.norm().clamp_min(1e-30))
    best = min(found, key=lambda axis: found[axis])
    return best if found[best] <= _TOLERANCE else None


def image_axes(
    channels: Sequence[int],
    one: Sequence[Sequence[Tensor]],
    two: Sequence[Sequence[tuple[Tensor, Tensor]]],
) -> list[list[ImageAxis]] | None:
    """Which part of each of several activations belongs to which image.

    Args:
        channels: Of each activation, the dimension that runs over channels.
        one: The activations of one image; a module that runs several times has several.
        two: Those of the same image and another in one batch, each with the gradient of the first image's
            logits.

    Returns:
        For each activation the axis of each call; None where one cannot be found, or where one image's logits
        depend on the other image: only batches of one image are what they seem.
    """
    found: list[list[ImageAxis]] = []
    for dim, alone, both in zip(channels, one, two, strict=True):
        if len(alone) != len(both):
            return None
        found.append([])
        for a, (b, g) in zip(alone, both, strict=True):
            axis = find_image_axis(a, b, dim)
            if axis is None or bool(axis.first(g, 2, dim)[1].any()):
                return None
            found[-1].append(axis)
    return found
