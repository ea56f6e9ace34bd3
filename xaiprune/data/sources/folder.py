"""A folder of pictures, one folder per class, with or without parts above the classes."""

import os
from pathlib import Path

from PIL import Image

from xaiprune.config import DataConfig
from xaiprune.data.source import DataSource, Part, Picture, Source
from xaiprune.errors import XaipruneError
from xaiprune.registry import register_source

PARTS: dict[str, Part] = {
    "train": "train",
    "reference": "reference",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


@register_source("image_folder")
class ImageFolder(DataSource):
    """Class folders in ``data.root``, or in its ``reference``/``train``, ``validation``/``val``, ``test``.

    Every visible file counts as a picture, so that one that cannot be read is found rather than overlooked.
    """

    text = "a folder with one folder per class, with or without parts (train, validation, test) above them"

    @staticmethod
    def open(config: DataConfig) -> Source:
        """Read the folders.

        Raises:
            XaipruneError: No class folders, or the same part under two names.
        """
        root = Path(config.root or "").expanduser()
        parts = {PARTS[name]: name for name in reversed(PARTS) if (root / name).is_dir()}
        if "val" in parts.values() and (root / "validation").is_dir():
            raise XaipruneError(f"data.root: both validation and val in {root}; keep one of them")
        where: list[tuple[Path, Part | None]] = (
            [(root / name, part) for part, name in sorted(parts.items())] if parts else [(root, None)]
        )
        return read_classes(root, where)


def read_classes(root: Path, where: list[tuple[Path, Part | None]]) -> Source:
    """A source from folders that each hold one folder per class.

    Args:
        root: What file names are relative to.
        where: The folders, and which part each is.
    """
    names = sorted({name for folder, _ in where for name in _visible(folder, folders=True)})
    if not names:
        raise XaipruneError(
            f"data.root: no class folders in {root}; expected one folder per class, "
            "or train/, val/, ... above them"
        )
    labels = {name: label for label, name in enumerate(names)}
    pictures = []
    for folder, part in where:
        for name in _visible(folder, folders=True):
            for file in _visible(folder / name, folders=False):
                path = folder / name / file
                status = path.stat()
                pictures.append(
                    Picture(
                        path.relative_to(root).as_posix(),
                        labels[name],
                        part,
                        f"{status.st_size}-{status.st_mtime_ns}",
                    )
                )

    def open_picture(picture: Picture) -> Image.Image:
        with Image.open(root / picture.file) as image:
            return image.convert("RGB")

    return Source(str(root), tuple(names), tuple(pictures), open_picture)


def _visible(folder: Path, *, folders: bool) -> list[str]:
    """Names in a folder that are not hidden, sorted: the order must not depend on the file system."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir() == folders)
