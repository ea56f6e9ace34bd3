"""ImageNet as it is usually unpacked: ``train/<wnid>`` and ``val/<wnid>``."""

from pathlib import Path

from xaiprune.config import DataConfig
from xaiprune.data.source import DataSource, Source
from xaiprune.data.sources.folder import read_classes
from xaiprune.errors import XaipruneError
from xaiprune.registry import register_source


@register_source("imagenet")
class ImageNet(DataSource):
    """Both parts of ImageNet-1k that have public labels."""

    text = "ImageNet-1k with train/<wnid> and val/<wnid>"

    @staticmethod
    def open(config: DataConfig) -> Source:
        """Read the folders.

        Raises:
            XaipruneError: ``train`` or ``val`` is missing, or ``val`` is one flat folder.
        """
        root = Path(config.root or "").expanduser()
        for name in ("train", "val"):
            if not (root / name).is_dir():
                raise XaipruneError(
                    f"data.root: no folder {name} in {root}; ImageNet has train/<wnid> and val/<wnid>, "
                    "other layouts are data=image_folder"
                )
        if not any(entry.is_dir() for entry in (root / "val").iterdir()):
            raise XaipruneError(
                f"data.root: {root / 'val'} has no wnid folders; sort its images into one a class"
            )
        return read_classes(root, [(root / "train", "train"), (root / "val", "validation")])
