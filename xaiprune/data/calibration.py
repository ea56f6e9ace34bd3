"""Further pictures for statistics of the network's activations: any folder, labels are not needed."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from xaiprune.config import DataConfig, cache_dir
from xaiprune.data.dataset import Dataset
from xaiprune.data.images import UNLABELLED, LabelledImages, PixelImages
from xaiprune.data.preprocess import Preprocess
from xaiprune.data.source import Picture
from xaiprune.data.sources.folder import read_folder
from xaiprune.data.split import rank
from xaiprune.data.store import decoded
from xaiprune.data.streamed import StreamedImages
from xaiprune.data.tensors import ImagesLike, as_images
from xaiprune.data.unreadable import Unreadable
from xaiprune.errors import XaipruneError

log = logging.getLogger(__name__)
_KEY = "prune.calibration_root"
_BATCH = 50  # of a torch dataset


def load_calibration(
    root: str, config: DataConfig, preprocess: Preprocess, count: int | None = None
) -> PixelImages:
    """Read a folder of pictures: class folders, or pictures alone.

    They are decoded once into the memory-mapped cache and read from it in batches
    (`xaiprune.data.LabelledImages.batches`), so that their number costs disk space and time, but no memory.

    Args:
        root: The folder.
        config: The ``data`` section: ``seed``, ``on_bad_image`` and ``cache_dir`` count.
        preprocess: As used for the other images; applied as it is.
        count: At most so many, of each class folder about as many; None: all.

    Returns:
        The images, without labels.

    Raises:
        XaipruneError: The folder has no pictures, or a file is none.
    """
    source = read_folder(Path(root).expanduser(), _KEY)
    unreadable, candidates = Unreadable(config.on_bad_image), list(source.pictures)
    while True:
        if not candidates:
            raise XaipruneError(f"{_KEY}: there are no pictures in {root}")
        chosen = _spread(candidates, count, config.seed)
        found = decoded(source, chosen, preprocess, cache_dir(config.cache_dir))
        if not found.bad:
            break
        unreadable.note(source.name, found.bad)
        candidates = [picture for picture in candidates if picture not in found.bad]
    unreadable.report()
    mean, std = preprocess.normalisation
    return PixelImages(
        pixels=found.pixels,
        labels=torch.full((len(found.kept),), UNLABELLED),
        files=tuple(picture.file for picture in found.kept),
        mean=mean,
        std=std,
        digests=found.digests,
    )


def as_calibration(data: ImagesLike) -> LabelledImages:
    """Calibration images from tensors, a loader, or images of ours.

    Args:
        data: As `as_images` takes it; labels are not used. A torch ``DataLoader`` or dataset is not kept in
            memory but read again for every pass (`StreamedImages`).

    Raises:
        XaipruneError: As `as_images`.
    """
    if isinstance(data, LabelledImages):
        return data
    if isinstance(data, TorchDataset):
        data = DataLoader(data, batch_size=_BATCH)
    if isinstance(data, DataLoader):
        return StreamedImages(data, "calibration")
    return as_images(data, name="calibration")


def warn_of_seen(calibration: PixelImages, data: Dataset) -> None:
    """Say it where statistics would be taken from pictures that networks are scored on."""
    own = set(calibration.digests or ())
    for name, images in (("validation", data.validation), ("test", data.test)):
        scored = set(images.digests or ()) if isinstance(images, PixelImages) else set()
        if same := len(own & scored):
            log.warning("%d calibration pictures are identical to one in the %s split", same, name)


def _spread(pictures: Sequence[Picture], count: int | None, seed: int) -> tuple[Picture, ...]:
    """So many pictures, one of each class in turn, in an order that has nothing to do with their classes."""
    chosen = sorted(pictures, key=lambda picture: rank(picture.file, seed))
    if count is not None and count < len(chosen):
        turns: Counter[int] = Counter()
        turn = {}
        for picture in chosen:
            turns[picture.label] += 1
            turn[picture] = turns[picture.label]
        chosen = sorted(chosen, key=lambda picture: turn[picture])[:count]  # stable: by rank within a turn
    # Ordered without the seed: if all are taken, another seed finds the same decoded cache.
    return tuple(sorted(chosen, key=lambda picture: rank(picture.file, "order")))
