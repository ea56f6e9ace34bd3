"""Where each split's pictures come from: the parts of ``data.root``, or a folder of the split's own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xaiprune.config import DataConfig, split_roots
from xaiprune.data.images import UNLABELLED
from xaiprune.data.source import Part, Picture, Source, source_of
from xaiprune.data.sources.folder import read_folder
from xaiprune.data.split import pools
from xaiprune.errors import XaipruneError


@dataclass(frozen=True)
class Pool:
    """The pictures that one split may be chosen from.

    Attributes:
        key: Of the configuration, that says where they are: ``data.root``, ``data.test_root``.
        source: That they are of.
        pictures: In a fixed order.
        prefix: Of their names in the split, so that names say the part wherever its folder lies.
    """

    key: str
    source: Source
    pictures: tuple[Picture, ...]
    prefix: str = ""

    @property
    def labelled(self) -> bool:
        """Whether the pictures have classes."""
        return any(picture.label != UNLABELLED for picture in self.pictures)

    @property
    def classes(self) -> frozenset[str]:
        """Names of the classes that have pictures here."""
        return frozenset(self.source.classes[p.label] for p in self.pictures if p.label != UNLABELLED)

    def name(self, picture: Picture) -> str:
        """A picture's name in the split."""
        return f"{self.prefix}{picture.file}"

    def location(self, picture: Picture) -> str:
        """The same for every name that one file has."""
        if self.source.root is None:
            return f"{self.source.name}\0{picture.file}"
        return os.path.realpath(self.source.root / picture.file)


def open_pools(config: DataConfig, parts: Sequence[Part]) -> dict[str, Pool | None]:
    """The pool of each part; None where the configuration names none.

    A part with a root of its own has its pictures there, and need not be among those of ``data.root``.

    Args:
        config: The ``data`` section.
        parts: ``train``, ``reference``, ``validation``, ``test``, or some of them.

    Raises:
        XaipruneError: A folder has no pictures, or some of a split's pictures have a class and others none.
    """
    roots = split_roots(config)
    found: dict[str, Pool | None] = dict.fromkeys(parts)
    for part in parts:
        if part in roots:
            key = f"data.{part}_root"
            source = read_folder(Path(roots[part]).expanduser(), key)
            found[part] = Pool(key, source, source.pictures, f"{part}/")
    left: list[Part] = [part for part in parts if part not in roots]
    kind = source_of(config)
    if left and roots and not kind.needs_root:
        raise XaipruneError(
            f"data.{next(iter(roots))}_root has no place beside data={config.source}, which has images of "
            "its own; set data=image_folder"
        )
    # A source that needs a root has none of these parts if there is none.
    if left and (config.root is not None or not roots):
        source = kind.open(config)
        divided = pools(source, config.seed, left)
        found |= {name: Pool("data.root", source, getattr(divided, name)) for name in left}
    for split, pool in found.items():
        if pool is not None and pool.labelled and any(p.label == UNLABELLED for p in pool.pictures):
            raise XaipruneError(
                f"{pool.key}: some {split} images of {pool.source.name} lie in class folders and others do "
                "not; give each split a folder of its own (data.reference_root, ...)"
            )
    return found


def refuse_shared(places: dict[str, dict[str, str]]) -> None:
    """Refuse a picture that two splits have, by whatever names.

    Args:
        places: Split -> location of each of its pictures -> its name there.

    Raises:
        XaipruneError: Names the file and both splits.
    """
    seen: dict[str, str] = {}
    for split, files in places.items():
        for location in files:
            if location in seen:
                where = location.replace("\0", "/")
                raise XaipruneError(
                    f"{where} is in both the {seen[location]} and the {split} split; give them "
                    f"folders that share no picture (data.{seen[location]}_root, data.{split}_root)"
                )
            seen[location] = split
