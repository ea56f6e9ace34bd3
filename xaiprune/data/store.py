"""The decoded-once cache: uint8 pixels in a memory map, keyed by files and transform.

An entry is a folder ``images/<key>/`` with ``pixels.npy`` and ``index.json``. It is written under a temporary
name and renamed when it is complete, so that no process leaves or sees an incomplete one.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import torchvision
from PIL import Image

from xaiprune.data.images import pixel_digest
from xaiprune.data.preprocess import Preprocess
from xaiprune.data.source import Picture, Source
from xaiprune.errors import XaipruneError
from xaiprune.progress import progress

_FORMAT = 2  # 16-bit grey was white in 1
_CHUNK = 256  # pictures decoded ahead of being written
_WORKERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Decoded:
    """The readable ones of some pictures.

    Attributes:
        pixels: (n, H, W, channels) uint8, memory-mapped, read-only.
        kept: The n pictures, in the order asked for.
        digests: Hash of each one's pixels.
        bad: Unreadable picture -> what was wrong.
    """

    pixels: np.ndarray
    kept: tuple[Picture, ...]
    digests: tuple[str, ...]
    bad: dict[Picture, str]


def decoded(source: Source, pictures: Sequence[Picture], preprocess: Preprocess, cache: Path) -> Decoded:
    """Pixels of the pictures, decoded now or in an earlier run.

    Args:
        source: Where the pictures are from.
        pictures: Which, in this order.
        preprocess: The transform to uint8.
        cache: Folder of all caches.

    Raises:
        XaipruneError: The cache folder cannot be written.
    """
    folder = cache / "images" / _key(source, pictures, preprocess)
    try:
        if not folder.is_dir():
            _write(folder, source, pictures, preprocess)
        index = json.loads((folder / "index.json").read_text())
        pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    except (OSError, json.JSONDecodeError, ValueError) as error:
        raise XaipruneError(
            f"cannot use the image cache {folder} ({error}); delete it or set data.cache_dir"
        ) from error
    bad = {pictures[int(position)]: reason for position, reason in index["bad"].items()}
    kept = tuple(picture for picture in pictures if picture not in bad)
    return Decoded(pixels[: len(kept)], kept, tuple(index["digests"]), bad)


def decode(source: Source, picture: Picture, preprocess: Preprocess) -> np.ndarray | str:
    """One picture's pixels, (H, W, channels) uint8, or what is wrong with its file."""
    try:
        image = source.open(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # What Pillow raises on truncated, broken, foreign and oversized files, depending on the format.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return "no image format" if isinstance(error, PIL.UnidentifiedImageError) else reason
    return preprocess.pixels()(image)


def _key(source: Source, pictures: Sequence[Picture], preprocess: Preprocess) -> str:
    versions = f"{_FORMAT} pillow={PIL.__version__} torchvision={torchvision.__version__}"
    digest = hashlib.sha256(f"{versions}\n{source.name}\n{preprocess.geometry()}\n".encode())
    for picture in pictures:
        digest.update(f"{picture.file}\0{picture.stamp}\n".encode())
    return digest.hexdigest()[:32]


def _write(folder: Path, source: Source, pictures: Sequence[Picture], preprocess: Preprocess) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        shape = (len(pictures), *preprocess.size, preprocess.channels)
        pixels = np.lib.format.open_memmap(temporary / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
        digests: list[str] = []
        bad: dict[int, str] = {}
        results = _decode_all(source, pictures, preprocess)
        for position, result in enumerate(progress(results, "decoding images", total=len(pictures))):
            if isinstance(result, str):
                bad[position] = result
            else:
                pixels[len(digests)] = result
                digests.append(pixel_digest(result))
        pixels.flush()
        del pixels
        (temporary / "index.json").write_text(json.dumps({"digests": digests, "bad": bad}))
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, and wrote the same
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _decode_all(
    source: Source, pictures: Sequence[Picture], preprocess: Preprocess
) -> Iterator[np.ndarray | str]:
    with ThreadPoolExecutor(_WORKERS) as pool:
        for start in range(0, len(pictures), _CHUNK):
            yield from pool.map(
                lambda picture: decode(source, picture, preprocess), pictures[start : start + _CHUNK]
            )
