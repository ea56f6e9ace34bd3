"""scikit-learn's handwritten digits: 1,797 real 8x8 pictures that need no download."""

import numpy as np
import sklearn
from PIL import Image
from sklearn.datasets import load_digits

from xaiprune.config import DataConfig
from xaiprune.data.source import DataSource, Picture, Source
from xaiprune.data.split import by_hash
from xaiprune.registry import register_source

_TRAIN, _HELD_OUT = 0.6, 0.2
_INK = 16  # the digits' grey values run from 0 to 16


@register_source("digits")
class Digits(DataSource):
    """The digits, with fixed parts: 60 % train, 20 % validation, 20 % test of each class.

    The parts do not depend on ``data.seed``: the digits networks are trained on the train part, and no seed
    may move one of its pictures into the test part.
    """

    text = "scikit-learn's 1,797 handwritten digits, 8x8 pixels; no download"
    needs_root = False
    mirrors = False

    @staticmethod
    def open(config: DataConfig) -> Source:
        """All digits; ``config`` has no effect."""
        bunch = load_digits()
        grey = np.round(bunch.images * (255 / _INK)).astype(np.uint8)
        labels = [int(label) for label in bunch.target]
        files = [f"{index:04d}" for index in range(len(labels))]
        parts = by_hash(files, labels, {"train": _TRAIN, "validation": _HELD_OUT, "test": _HELD_OUT}, seed=0)
        stamp = f"scikit-learn {sklearn.__version__}"
        pictures = tuple(
            Picture(file, label, parts[file], stamp) for file, label in zip(files, labels, strict=True)
        )

        def open_picture(picture: Picture) -> Image.Image:
            return Image.fromarray(grey[int(picture.file)]).convert("RGB")

        return Source("digits", tuple(str(name) for name in bunch.target_names), pictures, open_picture)
