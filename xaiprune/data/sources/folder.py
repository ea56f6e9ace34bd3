"""A folder of pictures, one folder per class or without classes, with or without parts above them."""

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from xaiprune.config import DataConfig
from xaiprune.data.images import UNLABELLED
from xaiprune.data.rgb import as_rgb
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

    Pictures without class folders have no labels. Those in folders within a class folder belong to its class.
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


def read_folder(root: Path, key: str) -> Source:
    """A source from one folder: class folders, or pictures alone, which then have no labels.

    Args:
        root: The folder.
        key: That named it, for messages.

    Raises:
        XaipruneError: It is empty, or has both.
    """
    if _visible(root, folders=True) and (beside := _pictures_in(root)):
        raise XaipruneError(
            f"{key}: {root} has both folders and pictures beside them ({beside[0]}); keep class folders, or "
            "pictures without labels"
        )
    return read_classes(root, [(root, None)], key)


def read_classes(root: Path, where: list[tuple[Path, Part | None]], key: str = "data.root") -> Source:
    """A source from folders that each hold one folder per class, or pictures alone, which have no labels.

    Args:
        root: What file names are relative to.
        where: The folders, and which part each is.
        key: That named them, for messages.

    Raises:
        XaipruneError: There is nothing in any of them, or one cannot be read.
    """
    classes = {folder: _visible(folder, folders=True) for folder, _ in where}
    names = sorted({name for own in classes.values() for name in own})
    labels = {name: label for label, name in enumerate(names)}
    pictures, paths = [], {}
    for folder, part in where:
        for name in classes[folder] or [""]:
            for path in _files(folder / name):
                file = _readable(path.relative_to(root).as_posix())
                paths[file] = path
                pictures.append(Picture(file, labels.get(name, UNLABELLED), part, _stamp(path)))
    if not names and not pictures:
        raise XaipruneError(
            f"{key}: no class folders in {root}, and no pictures; expected one folder per class, "
            "or train/, val/, ... above them"
        )

    def open_picture(picture: Picture) -> Image.Image:
        with Image.open(paths[picture.file]) as image:
            return as_rgb(image)

    return Source(str(root), tuple(map(_readable, names)), tuple(pictures), open_picture, root)


def _files(folder: Path) -> Iterator[Path]:
    """Visible files of a folder, then those of the folders in it, as torchvision counts them."""
    yield from (folder / name for name in _visible(folder, folders=False))
    for name in _visible(folder, folders=True):
        if (folder / name).resolve() not in (folder, *folder.parents):  # a link that leads back
            yield from _files(folder / name)


def _stamp(path: Path) -> str:
    """Size and time of a file; a broken link has none, and is found to be unreadable when it is opened."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _readable(name: str) -> str:
    """A name that can be written down, also where the file system's is no UTF-8."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _pictures_in(folder: Path) -> list[str]:
    """Files of a folder that Pillow can open by their names' ends."""
    known = Image.registered_extensions()
    return [name for name in _visible(folder, folders=False) if Path(name).suffix.lower() in known]


def _visible(folder: Path, *, folders: bool) -> list[str]:
    """Names in a folder that are not hidden, sorted: the order must not depend on the file system."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir() == folders)
    except OSError as error:
        raise XaipruneError(
            f"the folder {_readable(str(folder))} cannot be read ({error.strerror}); allow it or move it away"
        ) from error
