"""Folders and pictures as people have them: 16 bits, links, names and permissions of all kinds."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torchvision
from pictures import write_classes
from PIL import Image

from xaiprune.config import DataConfig
from xaiprune.data import Preprocess, load_training
from xaiprune.data.source import Source
from xaiprune.data.sources.folder import ImageFolder
from xaiprune.data.store import decoded
from xaiprune.errors import XaipruneError

SMALL = Preprocess((16, 16), 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
GREY = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)


def folder_of(root: Path) -> Source:
    return ImageFolder.open(DataConfig(root=str(root)))


@pytest.mark.parametrize(("suffix", "dtype"), [("png", ">u2"), ("tiff", "<u2"), ("tiff", ">u2")])
def test_grey_of_16_bits_keeps_its_brightness(tmp_path: Path, suffix: str, dtype: str) -> None:
    (tmp_path / "ant").mkdir()
    Image.fromarray(GREY.astype(dtype)).save(tmp_path / "ant" / f"0.{suffix}")
    source = folder_of(tmp_path)
    pixels = np.asarray(source.open(source.pictures[0]))
    assert np.array_equal(pixels, np.arange(256).reshape(16, 16, 1).repeat(3, 2))


def test_grey_without_a_range_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "ant").mkdir()
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "ant" / "0.tiff")
    source = folder_of(tmp_path)
    with pytest.raises(OSError, match="mode F have no range"):
        source.open(source.pictures[0])


def test_folders_within_class_folders_count_as_in_torchvision(tmp_path: Path) -> None:
    write_classes(tmp_path, ["ant", "ant/big/red", "ant/.hidden", "bee"], 2)
    (tmp_path / "bee" / "again").symlink_to(tmp_path / "bee")  # leads back
    (tmp_path / "bee" / "more").symlink_to(tmp_path / "ant" / "big")
    found = [(picture.file, picture.label) for picture in folder_of(tmp_path).pictures]
    shutil.rmtree(tmp_path / "ant" / ".hidden")
    (tmp_path / "bee" / "again").unlink()
    expected = torchvision.datasets.ImageFolder(tmp_path).samples
    assert found == [(str(Path(path).relative_to(tmp_path)), label) for path, label in expected]
    assert len(found) == 8


def test_names_that_are_no_utf8_and_broken_links(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "photos"
    write_classes(root, ["ant", "bee"], 9)
    ant = root / "ant"
    for number in range(3):
        os.rename(os.fsencode(ant / f"{number}.png"), os.fsencode(ant) + b"/caf\xe9%d.png" % number)
    os.rename(os.fsencode(root / "bee"), os.fsencode(root) + b"/\xfcber")
    (ant / "gone.png").symlink_to(tmp_path / "nowhere.png")
    source = folder_of(root)
    assert source.classes == ("ant", "\\xfcber")
    expected = [f"ant/caf\\xe9{number}.png" for number in range(3)]
    assert [picture.file for picture in source.pictures if "caf" in picture.file] == expected
    found = decoded(source, source.pictures, SMALL, tmp_path)
    assert [(each.file, "No such file" in why) for each, why in found.bad.items()] == [("ant/gone.png", True)]
    assert len(found.kept) == 18
    settings = DataConfig(source="image_folder", root=str(root), cache_dir=str(tmp_path), on_bad_image="skip")
    assert load_training(settings, SMALL, 2).train.fingerprint()


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_classes(tmp_path, ["ant", "bee"], 2)
    scan = os.scandir

    def refused(folder: Path) -> object:
        if str(folder).endswith("bee"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(XaipruneError, match=r"bee cannot be read \(Permission denied\)"):
        folder_of(tmp_path)
