"""Labelled images: what every split of a dataset can do, and the kind that is read from a data source."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from xaiprune.forward import Inputs

Index = Sequence[int] | slice | torch.Tensor | np.ndarray
CHUNK = 50  # images that racing scores together
UNLABELLED = -1
"""The label of an image whose class nobody has told."""


class LabelledImages(ABC):
    """Images as a network takes them, with their labels.

    Attributes:
        labels: (N,) int64, indices into the task's classes; all `UNLABELLED` where the classes are not known.
        files: N names, unique, for people: where each image came from.
        predicted: Of the class: whether the labels are what a network predicts (`PredictedImages`).
        noun: What an example is called. Splits, racing and intervals are by example.
        by_class: Whether a label is the class of a whole example, so that examples can be
            counted and drawn by class.
        pictured: Whether `pictures` shows the examples.
    """

    labels: torch.Tensor
    files: tuple[str, ...]
    predicted: ClassVar[bool] = False
    noun: str = "image"
    by_class: bool = True
    pictured: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def answers(self) -> int:
        """Labels of each image; windows of text have many."""
        return 1

    @property
    def measure(self) -> str:
        """What the fraction of right answers is called."""
        return "top-1"

    @property
    def targets(self) -> str:
        """What the labels are, for people."""
        return "the labels"

    @property
    def example(self) -> str:
        """One of them, with its size where people need it."""
        return self.noun

    @property
    def window(self) -> int | None:
        """Tokens of an example; None: it is no text."""
        return None

    @property
    def chunk(self) -> int:
        """Images that racing scores together."""
        return CHUNK

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return bool((self.labels != UNLABELLED).all())

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""

    @abstractmethod
    def tensor(self, index: Index = slice(None), device: torch.device | str = "cpu") -> torch.Tensor:
        """Normalised images.

        Args:
            index: Positions, or a slice.
            device: Of the result.

        Returns:
            (n, channels, H, W) float32.
        """

    def inputs(self, index: Index = slice(None), device: torch.device | str = "cpu") -> Inputs:
        """What the network takes: the images, or of texts all tensors that belong to them.

        Args:
            index: Positions, or a slice.
            device: Of the result.
        """
        return self.tensor(index, device)

    @abstractmethod
    def pictures(self, index: Index = slice(None)) -> np.ndarray:
        """The images as people look at them: (n, H, W, 3) uint8."""

    @abstractmethod
    def subset(self, index: Index) -> "LabelledImages":
        """Only these images, in the order given."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of images and labels in their order, the same on every machine."""

    def spread(self, count: int) -> "LabelledImages":
        """So many images at equal distances, or all: of every class some, as images lie in order of class."""
        return self.subset(self.evenly(count))

    def evenly(self, count: int) -> np.ndarray:
        """Positions of so many images at equal distances, or of all."""
        return np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int)

    def batches(self, size: int, device: torch.device | str = "cpu") -> Iterator[tuple[Inputs, torch.Tensor]]:
        """(inputs, labels (n,)) in order, ``size`` at a time, the last one smaller."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.inputs(part, device), self.labels[part].to(device)

    def __repr__(self) -> str:
        height, width = self.size
        what = f"{len(self.labels.unique())} classes" if self.labelled else "no labels"
        return f"{type(self).__name__}({len(self)} images, {height}x{width} pixels, {what})"


@dataclass(frozen=True, repr=False, eq=False)
class PixelImages(LabelledImages):
    """Images of a data source: uint8 pixels that are normalised when they are asked for.

    Attributes:
        pixels: (N, H, W, channels) uint8, usually memory-mapped.
        labels: (N,) int64, indices into the task's classes; `UNLABELLED` where there are none.
        files: Where each image came from, relative to the source's root.
        mean: Subtracted per channel, in 0..1 units.
        std: Divided by, per channel.
        digests: Hash of each image's pixels; None: `fingerprint` computes them.
    """

    pixels: np.ndarray
    labels: torch.Tensor
    files: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digests: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        counts = {len(self.pixels), len(self.labels), len(self.files)}
        if self.digests is not None:
            counts.add(len(self.digests))
        if len(counts) != 1:
            raise ValueError(
                f"{len(self.pixels)} images, {len(self.labels)} labels and {len(self.files)} files differ"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def tensor(self, index: Index = slice(None), device: torch.device | str = "cpu") -> torch.Tensor:
        """Normalised images, (n, channels, H, W) float32."""
        chosen = np.array(self.pixels[_numpy(index)])  # a copy: torch wants writable memory
        images = torch.from_numpy(chosen).to(device).permute(0, 3, 1, 2).float().div_(255).contiguous()
        mean = torch.tensor(self.mean, device=images.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, -1, 1, 1)
        return images.sub_(mean).div_(std)

    def pictures(self, index: Index = slice(None)) -> np.ndarray:
        """The pixels, (n, H, W, 3) uint8; grey ones in all three channels."""
        chosen = self.pixels[_numpy(index)]
        return np.broadcast_to(chosen, (*chosen.shape[:3], 3))

    def subset(self, index: Index) -> "PixelImages":
        """Only these images, in the order given. A slice keeps the memory map."""
        chosen = positions(index, len(self))
        return PixelImages(
            pixels=self.pixels[_numpy(index)],
            labels=self.labels[chosen],
            files=tuple(self.files[i] for i in chosen.tolist()),
            mean=self.mean,
            std=self.std,
            digests=None if self.digests is None else tuple(self.digests[i] for i in chosen.tolist()),
        )

    def fingerprint(self) -> str:
        """Hash of files, labels, pixels and normalisation, the same on every machine."""
        digest = hashlib.sha256(repr((self.pixels.shape[1:], self.mean, self.std)).encode())
        digests = self.digests or tuple(pixel_digest(image) for image in self.pixels)
        for file, label, pixels in zip(self.files, self.labels.tolist(), digests, strict=True):
            digest.update(f"{file}\0{label}\0{pixels}\n".encode())
        return digest.hexdigest()[:16]


def pixel_digest(pixels: np.ndarray) -> str:
    """Hash of one image's pixels, (H, W, channels) uint8."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=8).hexdigest()


def positions(index: Index, count: int) -> torch.Tensor:
    """Positions that an index chooses among ``count`` images, (n,) int64."""
    return torch.from_numpy(np.arange(count)[_numpy(index)])


def _numpy(index: Index) -> slice | np.ndarray:
    if isinstance(index, slice):
        return index
    if isinstance(index, torch.Tensor):
        return index.cpu().numpy()
    found = np.asarray(index)
    return found.astype(np.int64) if found.size == 0 else found
