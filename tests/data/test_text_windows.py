"""Windows of text: they share no token, and each position's label is the next token."""

import pytest
import torch

from xaiprune.data import (
    PredictedImages,
    TextWindows,
    as_dataset,
    as_images,
    dataset_of_parts,
    text_dataset,
)
from xaiprune.errors import XaipruneError


def test_parts_are_contiguous_and_share_no_token() -> None:
    data = text_dataset(torch.arange(1003), 10, 2000)
    parts = (data.reference, data.validation, data.test)
    assert [len(part) for part in parts] == [40, 30, 30]
    seen = torch.cat([part.tensor().flatten() for part in parts])
    assert seen.tolist() == list(range(1000))  # what fills no window is left out
    assert data.validation.files[0] == "window 40"
    assert len(data.task.classes) == 2000


def test_labels_are_the_next_tokens() -> None:
    windows = text_dataset(torch.arange(60), 6, 100).reference
    assert windows.labels[1].tolist() == [7, 8, 9, 10, 11, -100]
    assert (windows.answers, windows.window, windows.size) == (5, 6, (1, 6))
    part = windows.subset([2, 0])
    assert part.tensor()[0].tolist() == [12, 13, 14, 15, 16, 17]
    assert part.files == ("window 2", "window 0")
    (ids, labels), _ = windows.batches(3)
    assert ids.shape == labels.shape == (3, 6)


def test_limits_take_windows_from_everywhere() -> None:
    data = text_dataset(torch.arange(1000), 10, 2000, limits={"reference": 2, "test": None})
    assert data.reference.files == ("window 0", "window 39")
    assert len(data.test) == 30


def test_three_windows_are_one_for_each_part() -> None:
    data = text_dataset(torch.arange(30), 10, 50)
    assert [part.files for part in (data.reference, data.validation, data.test)] == [
        ("window 0",),
        ("window 1",),
        ("window 2",),
    ]


def test_too_short_a_text_is_refused() -> None:
    with pytest.raises(XaipruneError, match=r"story.txt has 20 tokens, .* lower data.window"):
        text_dataset(torch.arange(20), 10, 50, name="story.txt")


def test_parts_are_cut_each_by_itself() -> None:
    ids = {"reference": torch.arange(25), "validation": torch.arange(12), "test": torch.arange(30, 50)}
    data = dataset_of_parts(ids, 10, 50, limits={"test": 1})
    assert data.reference.tensor().flatten().tolist() == list(range(20))
    assert data.validation.files == ("window 2",)
    assert data.test.tensor().flatten().tolist() == list(range(30, 40))
    with pytest.raises(XaipruneError, match=r"has 12 tokens for validation, less than a window of 13"):
        dataset_of_parts(ids, 13, 50)


def test_ids_are_text_in_python() -> None:
    ids = torch.arange(24).view(4, 6)
    windows = as_images(ids, name="reference")
    assert isinstance(windows, TextWindows)
    assert windows.files[3] == "reference 3"
    data = as_dataset(ids, outputs=50, test=ids + 1)
    assert repr(data.test) == "TextWindows(4 windows of 6 tokens)"
    assert windows.fingerprint() != data.test.fingerprint()
    with pytest.raises(XaipruneError, match="no pictures"):
        windows.pictures()
    with pytest.raises(XaipruneError, match="2 tokens or more"):
        TextWindows.of(ids[:, :1])


def test_predictions_of_windows_are_windows() -> None:
    windows = TextWindows.of(torch.arange(24).view(4, 6))
    predicted = PredictedImages(windows, lambda: torch.zeros(4, 6, dtype=torch.int64))
    assert (predicted.noun, predicted.window, predicted.answers, predicted.chunk) == ("window", 6, 5, 1)
    assert (predicted.by_class, predicted.pictured) == (False, False)
    assert predicted.measure == "agreement with the dense network"
    assert (predicted.labels[:, :-1] == 0).all()
    assert torch.equal(predicted.labels[:, -1], windows.labels[:, -1])
