"""One split of images: normalised on demand, sliced, fingerprinted."""

import numpy as np
import pytest
import torch

from xaiprune.data import PixelImages, Task
from xaiprune.data.images import pixel_digest

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)


@pytest.fixture
def images():
    pixels = np.random.default_rng(0).integers(0, 255, (7, 4, 5, 3), dtype=np.uint8)
    return PixelImages(pixels, torch.arange(7) % 3, tuple(f"{i}.png" for i in range(7)), MEAN, STD)


def test_tensor_is_normalised_per_channel(images):
    found = images.tensor([2, 0])
    assert found.shape == (2, 3, 4, 5)
    assert found.dtype == torch.float32
    expected = (images.pixels[2, 1, 3, 2] / 255 - MEAN[2]) / STD[2]
    assert found[0, 2, 1, 3].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("index", [[1, 4], torch.tensor([1, 4]), np.array([1, 4]), slice(1, 7, 3)])
def test_every_kind_of_index(images, index):
    assert torch.equal(images.tensor(index), images.tensor()[[1, 4]])
    part = images.subset(index)
    assert part.files == ("1.png", "4.png")
    assert part.labels.tolist() == [1, 1]
    assert torch.equal(part.tensor(), images.tensor(index))


def test_an_empty_subset(images):
    assert len(images.subset([])) == 0


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_batches_cover_everything_in_order(images, size):
    batches = list(images.batches(size))
    assert torch.equal(torch.cat([batch for batch, _ in batches]), images.tensor())
    assert torch.equal(torch.cat([labels for _, labels in batches]), images.labels)
    assert all(len(batch) == size for batch, _ in batches[:-1])


def test_fingerprint_follows_content(images):
    digests = tuple(pixel_digest(image) for image in images.pixels)
    known = PixelImages(images.pixels, images.labels, images.files, MEAN, STD, digests)
    assert known.fingerprint() == images.fingerprint()
    assert known.subset(slice(None)).fingerprint() == images.fingerprint()
    assert images.subset([0, 1]).fingerprint() != images.subset([1, 0]).fingerprint()
    changed = images.pixels.copy()
    changed[3, 0, 0, 0] ^= 1
    assert PixelImages(changed, images.labels, images.files, MEAN, STD).fingerprint() != images.fingerprint()
    assert PixelImages(images.pixels, images.labels, images.files, MEAN, MEAN).fingerprint() != (
        images.fingerprint()
    )


def test_mismatched_lengths_are_refused(images):
    with pytest.raises(ValueError, match="7 images, 6 labels"):
        PixelImages(images.pixels, images.labels[:6], images.files, MEAN, STD)
    with pytest.raises(ValueError, match="2 classes, but 1 logits"):
        Task(("a", "b"), (1,))
