"""Images from tensors and torch's data loaders, in place of a data source."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from xaiprune.data.dataset import Dataset
from xaiprune.data.images import UNLABELLED, Index, LabelledImages, positions
from xaiprune.data.task import Task
from xaiprune.data.text import TextWindows
from xaiprune.errors import XaipruneError
from xaiprune.forward import is_text

ImagesLike = LabelledImages | Tensor | tuple[Tensor, Tensor] | DataLoader[Any] | TorchDataset[Any]
"""What `as_images` takes."""

_BATCH = 100  # of a torch dataset


@dataclass(frozen=True, repr=False, eq=False)
class TensorImages(LabelledImages):
    """Normalised images as one tensor.

    Attributes:
        images: (N, channels, H, W) float32, on the CPU.
        labels: (N,) int64, on the CPU; `UNLABELLED` where there are none.
        files: A name for each image: its number among those that were handed over.
    """

    images: Tensor
    labels: Tensor
    files: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[2], self.images.shape[3]

    def tensor(self, index: Index = slice(None), device: torch.device | str = "cpu") -> Tensor:
        """The images, (n, channels, H, W) float32: a copy."""
        return self.images[positions(index, len(self))].to(device)

    def pictures(self, index: Index = slice(None)) -> np.ndarray:
        """(n, H, W, 3) uint8. How they were normalised is not known, so each is stretched to 0..255."""
        images = self.tensor(index)
        if images.shape[1] != 3:
            images = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
        scaled = (images - low) / (high - low).clamp(min=1e-12) * 255
        return scaled.permute(0, 2, 3, 1).round().byte().numpy()

    def subset(self, index: Index) -> "TensorImages":
        """Only these images, in the order given."""
        chosen = positions(index, len(self))
        files = tuple(self.files[i] for i in chosen.tolist())
        return TensorImages(self.images[chosen], self.labels[chosen], files)

    def fingerprint(self) -> str:
        """Hash of shape, images and labels."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for part in (self.labels, self.images):
            digest.update(part.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


class MissingImages(LabelledImages):
    """A split that was not given: it has no images, and an error that says so if one is asked for.

    Args:
        split: Its name: ``validation`` or ``test``.
        remedy: What the error says to do; None: what to give from Python.
    """

    def __init__(self, split: str, remedy: str | None = None) -> None:
        self.labels = torch.empty(0, dtype=torch.int64)
        self.files = ()
        remedy = remedy or (f"give {split}=(images, labels) or a DataLoader beside the reference images")
        self._reason = f"no {split} images; {remedy}"

    @property
    def size(self) -> tuple[int, int]:
        """There is none.

        Raises:
            XaipruneError: Always, as all that follow.
        """
        raise self._error()

    def tensor(self, index: Index = slice(None), device: torch.device | str = "cpu") -> Tensor:
        """There are no images."""
        raise self._error()

    def pictures(self, index: Index = slice(None)) -> np.ndarray:
        """There are no images."""
        raise self._error()

    def batches(self, size: int, device: torch.device | str = "cpu") -> Any:
        """There are no images."""
        raise self._error()

    def subset(self, index: Index) -> "MissingImages":
        """Itself; an error if the index chooses any images."""
        if len(positions(index, 0)):
            raise self._error()
        return self

    def fingerprint(self) -> str:
        """The same for all of them."""
        return "no images"

    def _error(self) -> XaipruneError:
        return XaipruneError(f"there are {self._reason}")

    def __repr__(self) -> str:
        return f"MissingImages({self._reason})"


def as_images(data: ImagesLike, *, outputs: int | None = None, name: str = "images") -> LabelledImages:
    """Images from tensors, a loader, or images of ours; with labels or without.

    Args:
        data: `LabelledImages`, which are returned as they are; a pair of tensors, images (N, channels, H, W)
            of floats, normalised as the network expects, and labels (N,) of integers; or a torch
            ``DataLoader`` or dataset that yields such images and labels. A loader is read once, completely;
            one that shuffles gives another order, and so another fingerprint, every time. A tensor alone, or
            a loader of images alone, has no labels (`UNLABELLED`).
        outputs: Of the network, for checking labels.
        name: For messages: ``reference``.

    Raises:
        XaipruneError: Names what does not fit: shape, type, NaN, or a label that is no output.
    """
    if isinstance(data, LabelledImages):
        return data
    if isinstance(data, Dataset):
        raise XaipruneError(f"{name}: this is a Dataset; give one of its splits, for example .reference")
    if isinstance(data, TorchDataset):
        data = DataLoader(data, batch_size=_BATCH)
    if isinstance(data, Tensor) and is_text(data):
        return TextWindows.of(data, name)
    images, labels = (
        (data, None) if isinstance(data, Tensor) else data if _is_pair(data) else _read(data, name)
    )
    check_images(images, name)
    if labels is None:
        labels = torch.full((len(images),), UNLABELLED)
    else:
        _check_labels(images, labels, outputs, name)
    count = len(images)
    files = tuple(f"{name} {number}" for number in range(count))
    return TensorImages(images.detach().cpu().float(), labels.detach().cpu().long(), files)


def as_dataset(
    data: Dataset | ImagesLike,
    *,
    outputs: int | None = None,
    validation: ImagesLike | None = None,
    test: ImagesLike | None = None,
) -> Dataset:
    """A dataset from tensors, loaders or labelled images; its task is all of the network's outputs.

    Args:
        data: A `Dataset`, which is returned as it is, or the reference images, as `as_images` takes them.
        outputs: Of the network; needed unless there is a `Dataset`.
        validation: What pruned networks are scored on, as `as_images` takes them; None: a split of length 0
            that raises an error when it is used (`MissingImages`).
        test: For the final comparison, as ``validation``.

    Raises:
        XaipruneError: As `as_images`, or the number of outputs is missing.

    Example:
        >>> images, labels = torch.randn(20, 3, 32, 32), torch.arange(20) % 10
        >>> as_dataset((images, labels), outputs=10)
        Dataset(20 reference, 0 validation and 0 test images; 10 classes)
    """
    if isinstance(data, Dataset):
        if validation is not None or test is not None:
            raise XaipruneError("a Dataset has its own splits; leave out validation= and test=")
        return data
    if outputs is None:
        raise XaipruneError("how many outputs has the network? Give outputs=N beside the images")
    reference = as_images(data, outputs=outputs, name="reference")
    others = {
        name: MissingImages(name) if given is None else as_images(given, outputs=outputs, name=name)
        for name, given in (("validation", validation), ("test", test))
    }
    return Dataset(reference, others["validation"], others["test"], Task(tuple(map(str, range(outputs)))))


def _is_pair(data: object) -> bool:
    return isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(x, Tensor) for x in data)


def images_of_batch(batch: object, name: str) -> Tensor:
    """The images of what a loader yields: images, (images,) or (images, labels).

    Args:
        batch: As yielded.
        name: For messages.

    Raises:
        XaipruneError: It is something else.
    """
    if isinstance(batch, Tensor):
        return batch
    if _is_pair(batch) or (
        isinstance(batch, tuple | list) and len(batch) == 1 and isinstance(batch[0], Tensor)
    ):
        return batch[0]  # type: ignore[index]  # a pair, or one
    raise XaipruneError(f"{name}: expected batches of (images, labels), got {type(batch).__name__}")


def _read(loader: object, name: str) -> tuple[Tensor, Tensor | None]:
    """All batches of a loader, put together; None where it gives no labels."""
    if not isinstance(loader, Iterable):
        raise XaipruneError(
            f"{name}: expected (images, labels), a DataLoader or LabelledImages, got {type(loader).__name__}"
        )
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in loader:
        images.append(images_of_batch(batch, name))
        labels += [batch[1]] if _is_pair(batch) else []
    if not images:
        raise XaipruneError(f"{name}: the loader has no batches")
    if 0 < len(labels) < len(images):
        raise XaipruneError(f"{name}: {len(images) - len(labels)} of {len(images)} batches have no labels")
    try:
        return torch.cat(images), torch.cat(labels) if labels else None
    except RuntimeError as error:
        raise XaipruneError(f"{name}: the batches have images of different shapes") from error


def check_images(images: Tensor, name: str) -> None:
    """Refuse what is no batch of images.

    Args:
        images: (N, channels, H, W) floats, finite.
        name: For messages.

    Raises:
        XaipruneError: Names what does not fit.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise XaipruneError(
            f"{name}: images must be (N, channels, H, W) floats, normalised as the network expects, got "
            f"{tuple(images.shape)} {_type(images)}"
        )
    if not len(images):
        raise XaipruneError(f"{name}: there are no images")
    if not bool(images.isfinite().all()):
        bad = int((~images.isfinite()).flatten(1).any(1).nonzero()[0, 0])
        raise XaipruneError(f"{name}: image {bad} has values that are NaN or infinite")


def _check_labels(images: Tensor, labels: Tensor, outputs: int | None, name: str) -> None:
    if labels.shape != images.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise XaipruneError(
            f"{name}: labels must be ({len(images)},) integers, one for each image, got "
            f"{tuple(labels.shape)} {_type(labels)}"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (outputs is not None and high >= outputs):
        limit = "" if outputs is None else f" to {outputs - 1}"
        raise XaipruneError(f"{name}: labels must be outputs of the network, 0{limit}, got {low} to {high}")


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
