"""From a configuration to a dataset: three splits and the task."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import torch

from xaiprune.config import DataConfig, cache_dir, split_roots
from xaiprune.data.dataset import Dataset, TrainingData
from xaiprune.data.images import UNLABELLED, LabelledImages, PixelImages
from xaiprune.data.label_space import Classes, Labelling, labelling
from xaiprune.data.pools import Pool, open_pools, refuse_shared
from xaiprune.data.preprocess import Preprocess
from xaiprune.data.source import Part, Picture
from xaiprune.data.split import pick, require_enough
from xaiprune.data.store import decoded
from xaiprune.data.tensors import MissingImages
from xaiprune.data.unreadable import Unreadable
from xaiprune.errors import XaipruneError

log = logging.getLogger(__name__)


def load(config: DataConfig, preprocess: Preprocess, outputs: int | None = None) -> Dataset:
    """Open a data source, split it, and decode what is needed (once; later runs find it in the cache).

    A split for which there is neither ``data.root`` nor a root of its own is missing: it has no images, and
    says so when it is used (`MissingImages`).

    Args:
        config: The ``data`` section.
        preprocess: What the network expects (`xaiprune.models.preprocess`); ``data.*`` overrides it.
        outputs: How many outputs the network has; decides what a folder of wnids means.

    Raises:
        XaipruneError: Names the folder, file or class that does not fit, and the key that helps.
    """
    reader = _Reader(config, preprocess, outputs, ("reference", "validation", "test"))
    splits = {
        "reference": reader.read("reference", config.reference_per_class),
        "validation": reader.read("validation", config.validation_per_class),
        "test": reader.read("test", config.test_per_class),
    }
    reader.finish(splits)
    return Dataset(**splits, task=reader.labelling.task)


def load_training(config: DataConfig, preprocess: Preprocess, outputs: int | None = None) -> TrainingData:
    """The same source for training: everything that is in neither validation nor test.

    Raises:
        XaipruneError: As `load`, and if a split is missing or has no labels.
    """
    reader = _Reader(config, preprocess, outputs, ("train", "validation", "test"))
    splits = {
        "train": reader.read("train", None),
        "validation": reader.read("validation", config.validation_per_class),
        "test": reader.read("test", config.test_per_class),
    }
    for name, images in splits.items():
        if not len(images):
            raise XaipruneError(f"there are no {name} images; set data.root to images with labels")
        if not images.labelled:
            raise XaipruneError(
                f"the {name} images have no labels to train with; sort them into class folders"
            )
    reader.finish(splits)
    return TrainingData(**splits, task=reader.labelling.task)


class _Reader:
    """Reads the splits of one configuration."""

    def __init__(
        self, config: DataConfig, preprocess: Preprocess, outputs: int | None, parts: Sequence[Part]
    ) -> None:
        self.config = config
        self.preprocess = preprocess.override(config)
        self.pools = {part: pool for part, pool in open_pools(config, parts).items() if pool is not None}
        self.labelling: Labelling = labelling(Classes.of(self.pools), config, outputs)
        self.cache: Path = cache_dir(config.cache_dir)
        self.unreadable = Unreadable(config.on_bad_image)
        self.chosen: dict[str, tuple[Picture, ...]] = {}

    def read(self, part: str, per_class: int | None) -> LabelledImages:
        if part not in self.pools:
            return MissingImages(part, f"set data.{part}_root (or data.root)")
        pool, seed = self.pools[part], self.config.seed
        classes, labels, wanted = pool.source.classes, self.labelling.labels, per_class
        if pool.labelled:
            candidates = [picture for picture in pool.pictures if classes[picture.label] in labels]
        else:
            candidates = list(pool.pictures)
            if per_class is not None:  # as many as there would be of all classes
                wanted = per_class * len(self.labelling.task.classes)
        while True:
            self._require(pool, candidates, part, per_class)
            chosen = pick(candidates, wanted, seed, pool.prefix)
            found = decoded(pool.source, chosen, self.preprocess, self.cache)
            if not found.bad:
                break
            self.unreadable.note(pool.source.name, found.bad)
            candidates = [picture for picture in candidates if picture not in found.bad]
            if per_class is None:  # there are no others to replace them
                self._require(pool, candidates, part, per_class)
                break
        self._tell_of_few(pool, found.kept, part, per_class)
        self.chosen[part] = found.kept
        known = [UNLABELLED if p.label == UNLABELLED else labels[classes[p.label]] for p in found.kept]
        mean, std = self.preprocess.normalisation
        return PixelImages(
            pixels=found.pixels,
            labels=torch.tensor(known, dtype=torch.int64),
            files=tuple(pool.name(picture) for picture in found.kept),
            mean=mean,
            std=std,
            digests=found.digests,
        )

    def finish(self, splits: Mapping[str, LabelledImages]) -> None:
        """Refuse a picture in two splits; say what was skipped, and where classes are unlike."""
        if split_roots(self.config):
            # The same file may have any name in another folder; within one root, names tell files apart.
            refuse_shared(
                {
                    part: {self.pools[part].location(picture): picture.file for picture in pictures}
                    for part, pictures in self.chosen.items()
                }
            )
        else:
            _check_names(splits)
        _warn_of_twins(splits)
        self.unreadable.report()
        held = {part: len(images.labels.unique()) for part, images in splits.items() if len(images)}
        labelled = [part for part in held if self.pools[part].labelled]
        if self.labelling.has_all_outputs and len({self.pools[part].classes for part in labelled}) > 1:
            counts = ", ".join(f"{part} of {held[part]}" for part in labelled)
            log.info(
                "the splits hold different classes (%s); the task is all %d outputs",
                *(counts, len(self.labelling.task.classes)),
            )

    def _require(self, pool: Pool, pictures: Sequence[Picture], part: str, per_class: int | None) -> None:
        """Every class has enough; where every output is in the task, there are any at all."""
        if pool.labelled and (part == "train" or not self.labelling.has_all_outputs):
            names = pool.source.classes
            # Classes that only other splits' folders have get labels of their own here.
            labels = {name: label for label, name in enumerate(names)}
            others = [name for name in self.labelling.labels if name not in labels]
            labels |= {name: len(names) + place for place, name in enumerate(others)}
            wanted = {labels[name]: name for name in self.labelling.labels}
            require_enough(pictures, wanted, per_class, part, f"data.{part}_per_class")
        elif not pictures:
            raise XaipruneError(f"{pool.key}: there are no {part} images in {pool.source.name}")

    def _tell_of_few(self, pool: Pool, pictures: Sequence[Picture], part: str, per_class: int | None) -> None:
        """One line where classes have fewer pictures than asked for; none at all is another matter."""
        if per_class is None or not pool.labelled:
            return
        counts = Counter(picture.label for picture in pictures)
        few = {label: count for label, count in counts.items() if count < per_class}
        if few:
            label = min(few)
            log.warning(
                "%d of %d classes have fewer %s images than data.%s_per_class=%d (%s: %d); all are taken",
                *(len(few), len(counts), part, part, per_class, pool.source.classes[label], few[label]),
            )


def _check_names(splits: Mapping[str, LabelledImages]) -> None:
    for (one, a), (other, b) in combinations(splits.items(), 2):
        if shared := set(a.files) & set(b.files):
            raise XaipruneError(f"{min(shared)} is in both the {one} and the {other} split")


def _warn_of_twins(splits: Mapping[str, LabelledImages]) -> None:
    for (one, a), (other, b) in combinations(splits.items(), 2):
        same = _digests(a) & _digests(b)
        if same:
            log.warning("%d pictures of the %s split are identical to one in %s", len(same), one, other)


def _digests(images: LabelledImages) -> set[str]:
    return set(images.digests or ()) if isinstance(images, PixelImages) else set()
