"""The uint8 transform is timm's own, up to normalisation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from xaiprune.config import DataConfig
from xaiprune.data import PixelImages, Preprocess

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("size", "crop_pct"), [((32, 32), 0.875), ((32, 32), 1.0), ((24, 40), 0.9)])
def test_equals_timms_evaluation_transform(size, crop_pct, crop_mode, interpolation):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preprocess = Preprocess(size, crop_pct, interpolation, mean, std, crop_mode)
    timms = create_transform(
        (3, *size), interpolation=interpolation, mean=mean, std=std, crop_pct=crop_pct, crop_mode=crop_mode
    )
    pixels = preprocess.pixels()(PICTURE)
    assert pixels.shape == (*size, 3)
    assert pixels.dtype == np.uint8
    images = PixelImages(pixels[None], torch.tensor([0]), ("a",), mean, std)
    torch.testing.assert_close(images.tensor()[0], timms(PICTURE))


def test_the_configuration_overrides_parts():
    preprocess = Preprocess((224, 224), 0.95, "bicubic", (0.5,) * 3, (0.5,) * 3)
    changed = preprocess.override(
        DataConfig(image_size=64, resize=72, interpolation="bilinear", std=[0.1] * 3)
    )
    assert changed == Preprocess((64, 64), 0.95, "bilinear", (0.5,) * 3, (0.1,) * 3, resize=72)
    assert preprocess.override(DataConfig()) == preprocess
    small = PICTURE.resize((96, 72), Image.Resampling.BILINEAR)
    expected = np.asarray(small)[4:68, 16:80]
    assert np.array_equal(changed.pixels()(PICTURE), expected)


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
def test_grey_pictures_equal_timms(crop_mode):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preprocess = Preprocess((32, 32), 0.9, "bicubic", mean, std, crop_mode, channels=1)
    grey = (sum(mean) / 3,), (sum(std) / 3,)
    assert preprocess.normalisation == grey
    timms = create_transform(
        (1, 32, 32), interpolation="bicubic", mean=grey[0], std=grey[1], crop_pct=0.9, crop_mode=crop_mode
    )
    pixels = preprocess.pixels()(PICTURE)
    images = PixelImages(pixels[None], torch.tensor([0]), ("a",), *grey)
    torch.testing.assert_close(images.tensor()[0], timms(PICTURE.convert("L")))
    shown = images.pictures()
    assert shown.shape == (1, 32, 32, 3)
    assert np.array_equal(shown[..., 2], pixels[None, ..., 0])


def test_grey_and_coloured_pixels_are_not_mistaken_for_each_other():
    coloured = Preprocess((32, 32), 0.9, "bicubic", (0.5,) * 3, (0.5,) * 3)
    assert replace(coloured, channels=1).geometry() != coloured.geometry()
