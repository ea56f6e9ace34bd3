"""Makes small folders of pictures."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def write_classes(
    folder: Path, classes: Iterable[str], count: int, *, size: tuple[int, int] = (40, 30)
) -> None:
    """``count`` PNGs of noise in a folder for each class, different for every path."""
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            seed = sum(f"{folder.name}/{name}/{number}".encode())
            noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / name / f"{number}.png")
