"""Images without labels from Python: tensors, loaders that are read again, predictions as labels."""

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from xaiprune.data import (
    UNLABELLED,
    PredictedImages,
    StreamedImages,
    TensorImages,
    as_calibration,
    as_dataset,
    as_images,
)
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import accuracy

IMAGES = torch.randn(7, 3, 6, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(7) % 3


@pytest.mark.parametrize(
    "data",
    [IMAGES, DataLoader(TensorDataset(IMAGES), batch_size=3), TensorDataset(IMAGES), IMAGES.split(2)],
    ids=["tensor", "loader", "torch dataset", "batches"],
)
def test_images_alone(data: object) -> None:
    if isinstance(data, tuple):  # of tensors, which would be a pair if there were two
        data = list(data)
    found = as_images(data, outputs=3)  # type: ignore[arg-type]
    assert torch.equal(found.tensor(), IMAGES)
    assert found.labels.tolist() == [UNLABELLED] * 7
    assert not found.labelled
    assert as_images((IMAGES, LABELS)).labelled
    assert not as_dataset(data, outputs=3).reference.labelled  # type: ignore[arg-type]
    with pytest.raises(XaipruneError, match="no labels, so there is no top-1"):
        accuracy(torch.nn.Flatten(), found)


def loader(images: Tensor = IMAGES, **options: object) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(images, LABELS[: len(images)]), batch_size=4, **options)  # type: ignore[arg-type]


def test_a_loader_is_read_again_and_not_kept() -> None:
    found = as_calibration(loader())
    assert isinstance(found, StreamedImages)
    assert len(found) == 7
    assert found.size == (6, 5)
    assert not found.labelled
    for _ in range(2):
        batches = [images for images, _ in found.batches(3)]
        assert [len(images) for images in batches] == [3, 1, 3]
        assert torch.equal(torch.cat(batches), IMAGES)
    assert torch.equal(found.tensor([5, 1, 5]), IMAGES[[5, 1, 5]])
    assert found.tensor([]).shape == (0, 3, 6, 5)
    assert torch.equal(found.spread(3).tensor(), IMAGES[[0, 3, 6]])
    assert found.pictures(slice(2)).shape == (2, 6, 5, 3)
    assert found.fingerprint() == as_calibration(TensorDataset(IMAGES)).fingerprint()
    assert found.fingerprint() != as_calibration(loader(IMAGES.flip(0))).fingerprint()


def test_a_loader_that_gives_something_else_in_every_pass() -> None:
    torch.manual_seed(0)
    found = as_calibration(loader(shuffle=True))
    with pytest.raises(XaipruneError, match="calibration: the loader gives other images in every pass; make"):
        list(found.batches(4))


def test_what_a_loader_must_not_give() -> None:
    for images, message in (
        (IMAGES.index_fill(0, torch.tensor([4]), torch.nan), "image 0 has values that are NaN"),
        (IMAGES[:, 0], "images must be"),
        (IMAGES[:0], "the loader has no batches"),
    ):
        with pytest.raises(XaipruneError, match=f"calibration: {message}"):
            as_calibration(DataLoader(TensorDataset(images), batch_size=4))


def test_other_calibration_images() -> None:
    images = as_images((IMAGES, LABELS))
    assert as_calibration(images) is images
    assert isinstance(as_calibration(IMAGES), TensorImages)


def test_predictions_are_computed_once_and_when_needed() -> None:
    calls = []

    def predict() -> Tensor:
        calls.append(1)
        return LABELS

    found = PredictedImages(as_images(IMAGES, name="test"), predict)
    part = found.subset([1, 4])
    assert len(found) == 7
    assert found.labelled
    assert found.predicted
    assert found.fingerprint() == f"{found.images.fingerprint()}-predicted"
    assert not calls
    assert part.labels.tolist() == LABELS[[1, 4]].tolist()
    assert [labels.tolist() for _, labels in found.batches(5)] == [[0, 1, 2, 0, 1], [2, 0]]
    assert torch.equal(part.tensor(), IMAGES[[1, 4]])
    assert part.files == ("test 1", "test 4")
    assert part.pictures().shape == (2, 6, 5, 3)
    assert found.size == (6, 5)
    assert calls == [1]
