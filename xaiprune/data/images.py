"""One split of labelled images: uint8 pixels that are normalised when they are asked for."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

Index = Sequence[int] | slice | torch.Tensor | np.ndarray


@dataclass(frozen=True)
class LabelledImages:
    """Images, labels and where they came from.

    Attributes:
        pixels: (N, H, W, 3) uint8, usually memory-mapped.
        labels: (N,) int64, indices into the task's classes.
        files: Where each image came from, relative to the source's root.
        mean: Subtracted per channel, in 0..1 units.
        std: Divided by, per channel.
        digests: Hash of each image's pixels, where known (saves `fingerprint` from reading them all).
    """

    pixels: np.ndarray
    labels: torch.Tensor
    files: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    digests: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        counts = {len(self.pixels), len(self.labels), len(self.files)}
        if self.digests is not None:
            counts.add(len(self.digests))
        if len(counts) != 1:
            raise ValueError(
                f"{len(self.pixels)} images, {len(self.labels)} labels and {len(self.files)} files differ"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def tensor(self, index: Index = slice(None), device: torch.device | str = "cpu") -> torch.Tensor:
        """Normalised images.

        Args:
            index: Which ones: positions or a slice.
            device: Where the result lies.

        Returns:
            (n, 3, H, W) float32.
        """
        chosen = np.array(self.pixels[_numpy(index)])  # a copy: torch wants writable memory
        images = torch.from_numpy(chosen).to(device).permute(0, 3, 1, 2).float().div_(255).contiguous()
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1)
        return images.sub_(mean).div_(std)

    def batches(
        self, size: int, device: torch.device | str = "cpu"
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(images (n, 3, H, W), labels (n,)) in order, ``size`` at a time, the last one smaller."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.tensor(part, device), self.labels[part].to(device)

    def subset(self, index: Index) -> "LabelledImages":
        """Only these images, in the order given. A slice keeps the memory map."""
        where = _numpy(index)
        positions = np.arange(len(self))[where]
        return LabelledImages(
            pixels=self.pixels[where],
            labels=self.labels[torch.from_numpy(positions)],
            files=tuple(self.files[i] for i in positions),
            mean=self.mean,
            std=self.std,
            digests=None if self.digests is None else tuple(self.digests[i] for i in positions),
        )

    def fingerprint(self) -> str:
        """Hash of files, labels, pixels and normalisation, the same on every machine."""
        digest = hashlib.sha256(repr((self.pixels.shape[1:], self.mean, self.std)).encode())
        digests = self.digests or tuple(pixel_digest(image) for image in self.pixels)
        for file, label, pixels in zip(self.files, self.labels.tolist(), digests, strict=True):
            digest.update(f"{file}\0{label}\0{pixels}\n".encode())
        return digest.hexdigest()[:16]


def pixel_digest(pixels: np.ndarray) -> str:
    """Hash of one image's pixels, (H, W, 3) uint8."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=8).hexdigest()


def _numpy(index: Index) -> slice | np.ndarray:
    if isinstance(index, slice):
        return index
    if isinstance(index, torch.Tensor):
        return index.cpu().numpy()
    found = np.asarray(index)
    return found.astype(np.int64) if found.size == 0 else found
