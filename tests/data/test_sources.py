"""The data sources pass the suite that ships, and a user's own source is opened by its name."""

from pathlib import Path

from pictures import write_classes

from xaiprune.config import DataConfig
from xaiprune.registry import SOURCES
from xaiprune.testing.sources import SourceSuite


class TestSources(SourceSuite):
    """All that are registered."""

    sources = tuple(name for name, source in SOURCES.items() if not source.of_text)

    def config(self, name: str, folder: Path) -> DataConfig:
        if name == "digits":
            return DataConfig(source=name)
        for part in ("train", "val") if name == "imagenet" else ("train", "validation", "test"):
            write_classes(folder / part, ("n01440764", "n02102040", "n03888257"), 10)
        return DataConfig(source=name, root=str(folder), label_space="folders")


def test_the_suite_covers_every_source() -> None:
    assert TestSources.sources == ("digits", "image_folder", "imagenet")
