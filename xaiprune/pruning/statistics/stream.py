"""Reference images batch by batch, so that any number of them takes the memory of one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from xaiprune.errors import XaipruneError


@dataclass(frozen=True)
class ImageStream:
    """Images that are gone through as often as needed, in the same order each time.

    Attributes:
        count: How many there are.
        open: Starts a pass: batches of images (n, 3, H, W), normalised, on the model's device.
    """

    count: int
    open: Callable[[], Iterator[Tensor]]

    @classmethod
    def of(cls, images: Tensor | ImageStream, batch_size: int) -> ImageStream:
        """A tensor of images (N, 3, H, W) as a stream; a stream as it is.

        Args:
            images: The images.
            batch_size: Of a tensor's batches.
        """
        if isinstance(images, ImageStream):
            return images
        return cls(len(images), lambda: iter(images.split(batch_size)))

    def __len__(self) -> int:
        return self.count

    def numbered(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass: the numbers (n,) of each batch's images, and the images.

        Raises:
            XaipruneError: There are fewer or more images than counted.
        """
        start = 0
        for images in self.open():
            yield torch.arange(start, start + len(images)), images
            start += len(images)
        if start != self.count:
            raise XaipruneError(f"{self.count} images were counted, but a pass over them gave {start}")

    def first(self, count: int) -> Tensor:
        """The first images, (count, 3, H, W), or all if there are fewer."""
        found: list[Tensor] = []
        for images in self.open():
            found.append(images)
            if sum(map(len, found)) >= count:
                break
        return torch.cat(found)[:count]

    def one_by_one(self) -> ImageStream:
        """The same images in batches of one."""
        return ImageStream(self.count, lambda: (image for images in self.open() for image in images.split(1)))

    def blank(self) -> Tensor:
        """One blank image of the same size, (1, 3, H, W)."""
        return torch.zeros_like(self.first(1))
