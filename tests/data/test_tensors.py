"""Tensors and data loaders in place of a data source."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from xaiprune.data import Dataset, LabelledImages, MissingImages, TensorImages, as_dataset, as_images
from xaiprune.errors import XaipruneError

IMAGES = torch.randn(7, 3, 6, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(7) % 3


def refusal(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(XaipruneError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        (IMAGES, LABELS),
        [IMAGES.double(), LABELS.int()],
        DataLoader(TensorDataset(IMAGES, LABELS), batch_size=3),
        TensorDataset(IMAGES, LABELS),
    ],
    ids=["pair", "list of other types", "loader", "torch dataset"],
)
def test_what_people_have(data: Any) -> None:
    found = as_images(data, outputs=3)
    assert isinstance(found, TensorImages)
    assert len(found) == 7
    assert found.size == (6, 5)
    assert torch.equal(found.tensor(), IMAGES)
    assert found.tensor().dtype == torch.float32
    assert torch.equal(found.labels, LABELS)
    assert found.labels.dtype == torch.int64
    assert found.fingerprint() == as_images((IMAGES, LABELS)).fingerprint()
    assert as_images(found) is found


def test_they_do_what_images_of_a_source_do() -> None:
    images = as_images((IMAGES, LABELS), name="reference")
    for index in ([1, 4], torch.tensor([1, 4]), np.array([1, 4]), slice(1, 7, 3)):
        part = images.subset(index)
        assert torch.equal(images.tensor(index), IMAGES[[1, 4]])
        assert torch.equal(part.tensor(), IMAGES[[1, 4]])
        assert part.files == ("reference 1", "reference 4")
        assert part.labels.tolist() == [1, 1]
    assert len(images.subset([])) == 0
    batches = list(images.batches(3))
    assert [len(batch) for batch, _ in batches] == [3, 3, 1]
    assert torch.equal(torch.cat([batch for batch, _ in batches]), IMAGES)
    assert torch.equal(torch.cat([labels for _, labels in batches]), LABELS)


def test_nobody_changes_them_by_accident() -> None:
    images = as_images((IMAGES.clone(), LABELS))
    images.tensor().zero_()
    assert torch.equal(images.tensor(), IMAGES)


def test_fingerprints_follow_content() -> None:
    known = as_images((IMAGES, LABELS)).fingerprint()
    changed = IMAGES.clone()
    changed[3, 0, 0, 0] += 1
    others = [(changed, LABELS), (IMAGES, LABELS.flip(0)), (IMAGES[:6], LABELS[:6]), (IMAGES.mT, LABELS)]
    assert len({known, *(as_images(other).fingerprint() for other in others)}) == 5


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_for_people(channels: int) -> None:
    images = as_images((torch.randn(2, channels, 6, 5), torch.tensor([0, 1])))
    pictures = images.pictures()
    assert pictures.shape == (2, 6, 5, 3)
    assert pictures.dtype == np.uint8
    assert (pictures.min((1, 2, 3)) == 0).all()
    assert (pictures.max((1, 2, 3)) == 255).all()
    assert not as_images((torch.zeros(1, channels, 6, 5), torch.tensor([0]))).pictures().any()


def test_a_dataset_of_all_outputs() -> None:
    data = as_dataset((IMAGES, LABELS), outputs=4, test=DataLoader(TensorDataset(IMAGES, LABELS)))
    assert data.task.classes == ("0", "1", "2", "3")
    assert data.task.logits is None
    assert torch.equal(data.reference.tensor(), IMAGES)
    assert torch.equal(data.test.tensor(), IMAGES)
    assert as_dataset(data) is data
    other = as_dataset(data.reference, outputs=4, validation=data.test)
    assert other.reference is data.reference
    assert other.validation is data.test


def test_a_missing_split_is_empty_until_it_is_used() -> None:
    data = as_dataset((IMAGES, LABELS), outputs=3)
    for split, name in ((data.validation, "validation"), (data.test, "test")):
        assert isinstance(split, LabelledImages)
        assert isinstance(split, MissingImages)
        assert len(split) == len(split.files) == len(split.labels) == 0
        assert len(split.subset(torch.randperm(0))) == 0
        assert split.fingerprint() == data.test.fingerprint()
        for use in (
            lambda split=split: split.tensor(),
            lambda split=split: split.batches(2),
            lambda split=split: split.pictures(),
            lambda split=split: split.size,
        ):
            assert refusal(use) == (
                f"there are no {name} images; give {name}=(images, labels) or a DataLoader "
                "beside the reference images"
            )
        assert name in repr(split)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            (IMAGES[0], LABELS),
            "images must be (N, channels, H, W) floats, normalised as",
        ),
        ((IMAGES.byte(), LABELS), "got (7, 3, 6, 5) uint8"),
        ((IMAGES, LABELS[:6]), "labels must be (7,) integers, one for each image, got (6,) int64"),
        ((IMAGES, LABELS.float()), "labels must be (7,) integers, one for each image, got (7,) float32"),
        ((IMAGES, LABELS.view(7, 1)), "got (7, 1) int64"),
        ((IMAGES, LABELS + 1), "labels must be outputs of the network, 0 to 2, got 1 to 3"),
        ((IMAGES, LABELS - 1), "labels must be outputs of the network, 0 to 2, got -1 to 1"),
        ((IMAGES[:0], LABELS[:0]), "there are no images"),
        ((IMAGES.index_fill(0, torch.tensor([4]), torch.nan), LABELS), "image 4 has values that are NaN or"),
        ("photographs", "expected batches of (images, labels), got str"),
        (3, "expected (images, labels), a DataLoader or LabelledImages, got int"),
        ([], "the loader has no batches"),
        ([(IMAGES, LABELS), (IMAGES[:, :, 1:], LABELS)], "the batches have images of different shapes"),
        (TensorDataset(IMAGES, LABELS, LABELS), "expected batches of (images, labels), got list"),
        ([IMAGES, (IMAGES, LABELS)], "1 of 2 batches have no labels"),
    ],
)
def test_mistakes_are_one_line(data: Any, message: str) -> None:
    found = refusal(as_images, data, outputs=3, name="reference")
    assert found.startswith("reference: ")
    assert message in found


def test_mistakes_with_datasets_are_one_line() -> None:
    data = as_dataset((IMAGES, LABELS), outputs=3)
    assert "Give outputs=N" in refusal(as_dataset, (IMAGES, LABELS))
    assert "leave out validation= and test=" in refusal(as_dataset, data, test=(IMAGES, LABELS))
    assert "give one of its splits" in refusal(as_images, data)
    assert "test: labels must be outputs" in refusal(
        as_dataset, (IMAGES, LABELS), outputs=3, test=(IMAGES, LABELS + 9)
    )


def test_short_forms(digits_data: Dataset) -> None:
    assert repr(digits_data) == "Dataset(100 reference, 360 validation and 359 test images; 10 classes)"
    assert repr(digits_data.reference) == "PixelImages(100 images, 32x32 pixels, 10 classes)"
    assert repr(digits_data.task) == "Task(10 classes: 0, 1, 2, ...)"
    assert repr(as_images((IMAGES, LABELS))) == "TensorImages(7 images, 6x5 pixels, 3 classes)"
    data = as_dataset((IMAGES, LABELS), outputs=3)
    assert repr(data) == "Dataset(7 reference, 0 validation and 0 test images; 3 classes)"
    assert repr(data.test).startswith("MissingImages(no test images; ")
