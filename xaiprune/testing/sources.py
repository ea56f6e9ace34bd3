"""What every data source should fulfil.

class TestMySource(SourceSuite):
    sources = ("mine",)

    def config(self, name: str, folder: Path) -> DataConfig:
        write_some_pictures(folder)
        return DataConfig(source=name, root=str(folder))
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import ClassVar, get_args

import pytest

from xaiprune.config import DataConfig, check_data
from xaiprune.data import DataSource, Preprocess, Source, load, load_training
from xaiprune.data.source import Part, source_of
from xaiprune.registry import SOURCES

SMALL = Preprocess((16, 16), 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class SourceSuite:
    """Derive a class called ``Test...`` from this and name your sources, as they are registered.

    Attributes:
        sources: Names of the sources to test.
    """

    sources: ClassVar[Sequence[str]] = ()

    def config(self, name: str, folder: Path) -> DataConfig:
        """Settings with which a source has pictures, ten or more of each class.

        Args:
            name: Of the source.
            folder: An empty one, to write pictures into.
        """
        return DataConfig(source=name)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", self.sources)

    @pytest.fixture
    def settings(self, name: str, tmp_path: Path) -> DataConfig:
        folder = tmp_path / "pictures"
        folder.mkdir()
        config = self.config(name, folder)
        config.cache_dir = str(tmp_path / "cache")
        config.reference_per_class = 2
        return config

    def test_it_describes_itself(self, name: str) -> None:
        kind = SOURCES.find(name)
        assert issubclass(kind, DataSource)
        assert kind.text
        assert "\n" not in kind.text

    def test_its_settings_are_accepted(self, name: str, settings: DataConfig) -> None:
        check_data(settings)
        assert source_of(settings).needs_root == (settings.root is not None)

    def test_pictures_are_labelled_and_unique(self, name: str, settings: DataConfig) -> None:
        source = source_of(settings).open(settings)
        assert source.name
        assert len(set(source.classes)) == len(source.classes) >= 2
        assert len({picture.file for picture in source.pictures}) == len(source.pictures)
        assert {picture.label for picture in source.pictures} == set(range(len(source.classes)))
        assert {picture.part for picture in source.pictures} <= {None, *get_args(Part)}
        assert all(picture.stamp for picture in source.pictures)

    def test_the_same_twice(self, name: str, settings: DataConfig) -> None:
        first, second = (source_of(settings).open(settings) for _ in range(2))
        assert first.classes == second.classes
        assert first.pictures == second.pictures

    def test_pictures_open_as_rgb(self, name: str, settings: DataConfig) -> None:
        source: Source = source_of(settings).open(settings)
        for picture in source.pictures[:: max(1, len(source.pictures) // 10)]:
            assert source.open(picture).mode == "RGB"
            assert source.open(picture).tobytes() == source.open(picture).tobytes()

    def test_splits_share_no_picture(self, name: str, settings: DataConfig) -> None:
        data, training = load(settings, SMALL), load_training(settings, SMALL)
        splits = (data.reference, data.validation, data.test)
        for one, other in combinations(splits, 2):
            assert not set(one.files) & set(other.files)
        assert not set(training.train.files) & {*data.validation.files, *data.test.files}
        for images in splits:
            assert len(images.labels.unique()) == len(data.task.classes)

    def test_seeds_choose_other_reference_images(self, name: str, settings: DataConfig) -> None:
        first = load(settings, SMALL)
        settings.seed = 1
        second = load(settings, SMALL)
        assert first.reference.files != second.reference.files
        assert first.task == second.task
