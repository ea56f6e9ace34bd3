"""Images of a data loader that is read again whenever they are asked for, and never held as a whole."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from xaiprune.data.images import UNLABELLED, Index, LabelledImages, positions
from xaiprune.data.tensors import TensorImages, check_images, images_of_batch
from xaiprune.errors import XaipruneError


class StreamedImages(LabelledImages):
    """Images of a torch ``DataLoader``, without labels; in memory there is one batch at a time.

    The loader is read once to count and check its images, and again for every pass over them. Each pass has
    to give the same images in the same order, since what two passes find is compared.

    Args:
        loader: Yields images (n, channels, H, W), with or without labels.
        name: For messages: ``calibration``.

    Raises:
        XaipruneError: It yields no images, or images of different shapes, or NaN.
    """

    def __init__(self, loader: DataLoader[Any], name: str) -> None:
        self._loader, self._name = loader, name
        digests: list[bytes] = []
        shape: tuple[int, ...] | None = None
        for images in self._read():
            check_images(images, name)
            if shape is not None and tuple(images.shape[1:]) != shape:
                raise XaipruneError(f"{name}: the batches have images of different shapes")
            shape = tuple(images.shape[1:])
            digests += map(_digest, images)
        if shape is None:
            raise XaipruneError(f"{name}: the loader has no batches")
        self._size, self._digests = (shape[1], shape[2]), digests
        self.labels = torch.full((len(digests),), UNLABELLED)
        self.files = tuple(f"{name} {number}" for number in range(len(digests)))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._size

    def batches(self, size: int, device: torch.device | str = "cpu") -> Iterator[tuple[Tensor, Tensor]]:
        """(images (n, channels, H, W), labels (n,)) in order, at most ``size`` at a time.

        Raises:
            XaipruneError: The loader gives other images than before.
        """
        start = 0
        for images in self._read():
            if [*map(_digest, images)] != self._digests[start : start + len(images)]:
                raise self._other_images()
            start += len(images)
            for part in images.split(size):
                yield part.to(device), torch.full((len(part),), UNLABELLED, device=device)
        if start != len(self):
            raise self._other_images()

    def tensor(self, index: Index = slice(None), device: torch.device | str = "cpu") -> Tensor:
        """These images, (n, channels, H, W) float32: one pass, of which only they are kept."""
        chosen = positions(index, len(self)).tolist()
        found: dict[int, Tensor] = {}
        wanted, start = set(chosen), 0
        for images, _ in self.batches(len(self)):
            found |= {at: images[at - start] for at in range(start, start + len(images)) if at in wanted}
            start += len(images)
        if not chosen:
            return next(self._read())[:0].to(device)
        return torch.stack([found[at] for at in chosen]).to(device)

    def pictures(self, index: Index = slice(None)) -> np.ndarray:
        """(n, H, W, 3) uint8, each stretched to 0..255."""
        return self.subset(index).pictures()

    def subset(self, index: Index) -> TensorImages:
        """Only these images, which are then held in memory."""
        chosen = positions(index, len(self))
        files = tuple(self.files[i] for i in chosen.tolist())
        return TensorImages(self.tensor(index), self.labels[chosen], files)

    def fingerprint(self) -> str:
        """Hash of shape and images in their order."""
        digest = hashlib.sha256(repr(self._size).encode())
        digest.update(b"".join(self._digests))
        return digest.hexdigest()[:16]

    def _read(self) -> Iterator[Tensor]:
        for batch in self._loader:
            yield images_of_batch(batch, self._name).detach().cpu().float()

    def _other_images(self) -> XaipruneError:
        return XaipruneError(
            f"{self._name}: the loader gives other images in every pass; make it with shuffle=False and "
            "without random transforms"
        )


def _digest(image: Tensor) -> bytes:
    return hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=8).digest()
