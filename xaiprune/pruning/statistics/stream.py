"""Reference images or texts batch by batch, so that any number of them takes the memory of one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, count_of, is_text, joined, part_of
from xaiprune.progress import progress


@dataclass(frozen=True)
class ImageStream:
    """Images, or windows of text, that are gone through as often as needed, in the same order each time.

    Attributes:
        count: How many there are.
        open: Starts a pass: batches of images (n, 3, H, W), normalised, or of text, on the model's device.
        batch_size: Images in a batch, by which the time that is left is estimated.
    """

    count: int
    open: Callable[[], Iterator[Inputs]]
    batch_size: int = 1

    @classmethod
    def of(cls, images: Inputs | ImageStream, batch_size: int) -> ImageStream:
        """Images (N, 3, H, W) or text as a stream; a stream as it is.

        Args:
            images: The images.
            batch_size: Of a tensor's batches.
        """
        if isinstance(images, ImageStream):
            return images
        count = count_of(images)
        starts = range(0, count, batch_size)
        return cls(
            count, lambda: (part_of(images, slice(start, start + batch_size)) for start in starts), batch_size
        )

    def __len__(self) -> int:
        return self.count

    def numbered(self) -> Iterator[tuple[Tensor, Inputs]]:
        """One pass: the numbers (n,) of each batch's images, and the images.

        Raises:
            XaipruneError: There are fewer or more images than counted.
        """
        start = 0
        for images in self.open():
            yield torch.arange(start, start + count_of(images)), images
            start += count_of(images)
        if start != self.count:
            raise XaipruneError(f"{self.count} images were counted, but a pass over them gave {start}")

    def followed(self, description: str) -> Iterator[tuple[Tensor, Inputs]]:
        """As `numbered`, with a bar where it takes long."""
        return progress(self.numbered(), description, total=-(-self.count // self.batch_size))

    def first(self, count: int) -> Inputs:
        """The first images, (count, 3, H, W), or texts, or all if there are fewer."""
        found: list[Inputs] = []
        for images in self.open():
            found.append(images)
            if sum(map(count_of, found)) >= count:
                break
        return part_of(joined(found), slice(count))

    def one_by_one(self) -> ImageStream:
        """The same images in batches of one."""

        def each() -> Iterator[Inputs]:
            for images in self.open():
                for place in range(count_of(images)):
                    yield part_of(images, slice(place, place + 1))

        return ImageStream(self.count, each)

    def example(self) -> Inputs:
        """One blank image of the same size, (1, 3, H, W), or the first text."""
        first = self.first(1)
        return torch.zeros_like(first) if isinstance(first, Tensor) and not is_text(first) else first
