"""The decoded-once cache."""

import os
import threading
from dataclasses import replace

import numpy as np
import pytest
from pictures import write_classes
from PIL import Image

from xaiprune.config import DataConfig
from xaiprune.data import Preprocess
from xaiprune.data.sources.folder import ImageFolder
from xaiprune.data.store import decoded
from xaiprune.errors import XaipruneError

SMALL = Preprocess((16, 16), 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def source(tmp_path):
    write_classes(tmp_path / "photos", ("ant", "bee"), 5)
    return ImageFolder.open(DataConfig(root=str(tmp_path / "photos")))


def never(picture):
    raise AssertionError(f"decoded {picture.file} again")


def test_the_second_run_decodes_nothing(source, tmp_path):
    first = decoded(source, source.pictures, SMALL, tmp_path)
    second = decoded(replace(source, open=never), source.pictures, SMALL, tmp_path)
    assert isinstance(second.pixels, np.memmap)
    assert np.array_equal(first.pixels, second.pixels)
    assert first.digests == second.digests


def test_another_size_another_file_or_a_newer_file_is_another_entry(source, tmp_path):
    decoded(source, source.pictures, SMALL, tmp_path)
    sealed = replace(source, open=never)
    for pictures, preprocess in (
        (source.pictures, replace(SMALL, size=(8, 8))),
        (source.pictures, replace(SMALL, interpolation="bicubic")),
        (source.pictures, replace(SMALL, resize=20)),
        (source.pictures[1:], SMALL),
        ((replace(source.pictures[0], stamp="newer"), *source.pictures[1:]), SMALL),
    ):
        with pytest.raises(AssertionError, match="again"):
            decoded(sealed, pictures, preprocess, tmp_path)


def test_normalisation_is_not_part_of_the_entry(source, tmp_path):
    decoded(source, source.pictures, SMALL, tmp_path)
    decoded(replace(source, open=never), source.pictures, replace(SMALL, mean=(0, 0, 0)), tmp_path)


def test_the_stamp_follows_the_file(tmp_path):
    write_classes(tmp_path / "photos", ("ant", "bee"), 2)
    before = ImageFolder.open(DataConfig(root=str(tmp_path / "photos"))).pictures[0]
    os.utime(tmp_path / "photos" / before.file, ns=(1, 1))
    after = ImageFolder.open(DataConfig(root=str(tmp_path / "photos"))).pictures[0]
    assert before.stamp != after.stamp


def test_two_at_once_end_with_one_whole_entry(source, tmp_path):
    barrier = threading.Barrier(2)
    opened = threading.Event()

    def open_together(picture):
        if not opened.is_set():
            opened.set()
        return source.open(picture)

    results = []

    def run():
        barrier.wait()
        results.append(decoded(replace(source, open=open_together), source.pictures, SMALL, tmp_path))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert np.array_equal(results[0].pixels, results[1].pixels)
    assert len(list((tmp_path / "images").iterdir())) == 1  # no temporary folder stays behind


def test_an_interrupted_run_leaves_nothing(source, tmp_path):
    def interrupt(picture):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoded(replace(source, open=interrupt), source.pictures, SMALL, tmp_path)
    assert list((tmp_path / "images").iterdir()) == []


def test_a_damaged_entry_is_named(source, tmp_path):
    decoded(source, source.pictures, SMALL, tmp_path)
    (entry,) = (tmp_path / "images").iterdir()
    (entry / "index.json").write_text("{")
    with pytest.raises(XaipruneError, match=rf"cannot use the image cache {entry}.*delete it"):
        decoded(source, source.pictures, SMALL, tmp_path)


def test_an_unwritable_cache_is_named(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(XaipruneError, match=r"cannot use the image cache .*data\.cache_dir"):
        decoded(source, source.pictures, SMALL, tmp_path / "file")


def test_bad_pictures_are_left_out_in_order(source, tmp_path):
    def open_some(picture):
        if picture.file.endswith("2.png"):
            raise OSError("image file is truncated (3 bytes not processed)")
        return source.open(picture)

    found = decoded(replace(source, open=open_some), source.pictures, SMALL, tmp_path)
    assert len(found.pixels) == len(found.kept) == len(found.digests) == 8
    assert {p.file for p in found.bad} == {"ant/2.png", "bee/2.png"}
    expected = SMALL.pixels()(Image.open(tmp_path / "photos" / found.kept[-1].file).convert("RGB"))
    assert np.array_equal(found.pixels[-1], expected)
