"""From a configuration to a dataset: three splits and the task."""

import logging
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import torch

from xaiprune.config import DataConfig, cache_dir
from xaiprune.data.dataset import Dataset, TrainingData
from xaiprune.data.images import PixelImages
from xaiprune.data.label_space import Labelling, labelling
from xaiprune.data.preprocess import Preprocess
from xaiprune.data.source import Picture, Source, source_of
from xaiprune.data.split import Pools, pick, pools, require_enough
from xaiprune.data.store import decoded
from xaiprune.errors import XaipruneError

log = logging.getLogger(__name__)


def load(config: DataConfig, preprocess: Preprocess, outputs: int | None = None) -> Dataset:
    """Open a data source, split it, and decode what is needed (once; later runs find it in the cache).

    Args:
        config: The ``data`` section.
        preprocess: What the network expects (`xaiprune.models.preprocess`); ``data.*`` overrides it.
        outputs: How many outputs the network has; decides what a folder of wnids means.

    Raises:
        XaipruneError: Names the folder, file or class that does not fit, and the key that helps.
    """
    reader = _Reader(config, preprocess, outputs)
    splits = {
        "reference": reader.read("reference", config.reference_per_class),
        "validation": reader.read("validation", config.validation_per_class),
        "test": reader.read("test", config.test_per_class),
    }
    _check_disjoint(splits)
    reader.report()
    return Dataset(**splits, task=reader.labelling.task)


def load_training(config: DataConfig, preprocess: Preprocess, outputs: int | None = None) -> TrainingData:
    """The same source for training: everything that is in neither validation nor test.

    Raises:
        XaipruneError: As `load`.
    """
    reader = _Reader(config, preprocess, outputs)
    splits = {
        "train": reader.read("train", None),
        "validation": reader.read("validation", config.validation_per_class),
        "test": reader.read("test", config.test_per_class),
    }
    _check_disjoint(splits)
    reader.report()
    return TrainingData(**splits, task=reader.labelling.task)


class _Reader:
    """Reads the parts of one source."""

    def __init__(self, config: DataConfig, preprocess: Preprocess, outputs: int | None) -> None:
        self.config = config
        self.preprocess = preprocess.override(config)
        self.source: Source = source_of(config).open(config)
        self.labelling: Labelling = labelling(self.source, config, outputs)
        self.pools: Pools = pools(self.source, config.seed)
        self.cache: Path = cache_dir(config.cache_dir)
        self.skipped: dict[str, str] = {}

    def read(self, part: str, per_class: int | None) -> PixelImages:
        candidates = [p for p in getattr(self.pools, part) if p.label in self.labelling.labels]
        while True:
            self._require(candidates, part, per_class)
            chosen = pick(candidates, per_class, self.config.seed)
            found = decoded(self.source, chosen, self.preprocess, self.cache)
            if not found.bad:
                break
            self._note(found.bad)
            candidates = [picture for picture in candidates if picture not in found.bad]
            if per_class is None:  # there are no others to replace them
                self._require(candidates, part, per_class)
                break
        labels = [self.labelling.labels[picture.label] for picture in found.kept]
        return PixelImages(
            pixels=found.pixels,
            labels=torch.tensor(labels, dtype=torch.int64),
            files=tuple(picture.file for picture in found.kept),
            mean=self.preprocess.mean,
            std=self.preprocess.std,
            digests=found.digests,
        )

    def report(self) -> None:
        if self.skipped:
            first, reason = next(iter(self.skipped.items()))
            count = len(self.skipped)
            log.warning(
                "skipped %d unreadable file%s (first: %s: %s)", count, "s"[: count > 1], first, reason
            )

    def _require(self, pictures: Sequence[Picture], part: str, per_class: int | None) -> None:
        classes = {label: self.source.classes[label] for label in self.labelling.labels}
        require_enough(pictures, classes, per_class, part, f"data.{part}_per_class")

    def _note(self, bad: dict[Picture, str]) -> None:
        for picture, reason in bad.items():
            file = str(Path(self.source.name) / picture.file)
            if self.config.on_bad_image == "error":
                raise XaipruneError(
                    f"{file} cannot be read as an image ({reason}); remove it or set data.on_bad_image=skip"
                )
            self.skipped[file] = reason


def _check_disjoint(splits: dict[str, PixelImages]) -> None:
    for (one, a), (other, b) in combinations(splits.items(), 2):
        if shared := set(a.files) & set(b.files):
            raise XaipruneError(f"{min(shared)} is in both the {one} and the {other} split")
        same = _digests(a) & _digests(b)
        if same:
            log.warning("%d pictures of the %s split are identical to one in %s", len(same), one, other)


def _digests(images: PixelImages) -> set[str]:
    return set(images.digests or ())
