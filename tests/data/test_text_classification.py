"""A CSV of texts with labels: splits that share no text, the model's classes, one line for what is wrong."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import Tensor

from xaiprune.config import DataConfig
from xaiprune.data import Dataset, PredictedImages
from xaiprune.data.sources.text_classification import TextClassification
from xaiprune.errors import XaipruneError


class Letters:
    """A classifier whose tokens are letters."""

    name, context, outputs, classes = "letters", None, 128, ("bad", "good")

    def all_ids(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def padded(self, texts: Sequence[str], longest: int) -> dict[str, Tensor]:
        cut = [self.all_ids(text)[:longest] for text in texts]
        width = max(map(len, cut))
        return {
            "input_ids": torch.tensor([ids + [0] * (width - len(ids)) for ids in cut]),
            "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in cut]),
        }


def read(folder: Path, content: str, **settings: object) -> Dataset:
    path = folder / "texts.csv"
    path.write_text(content, encoding="utf-8")
    config = DataConfig(source="text_classification", path=str(path), **settings)  # type: ignore[arg-type]
    return TextClassification.read(config, Letters())


def rows(count: int = 40) -> str:
    return "text,label\n" + "".join(f"text {n},{'good' if n % 2 else 0}\n" for n in range(count))


def said(text: dict[str, Tensor], row: int) -> str:
    return "".join(map(chr, text["input_ids"][row][text["attention_mask"][row].bool()].tolist()))


def test_splits_share_no_text_and_labels_are_names_or_numbers(tmp_path: Path) -> None:
    data = read(tmp_path, rows(), reference_per_class=100)
    splits = (data.reference, data.validation, data.test)
    assert [len(split) for split in splits] == [16, 12, 12]
    for one, other in combinations(splits, 2):
        assert not set(one.files) & set(other.files)
    for split in splits:
        inputs = split.inputs()
        for row, (file, label) in enumerate(zip(split.files, split.labels.tolist(), strict=True)):
            number = int(file.removeprefix("row ")) - 1
            assert said(inputs, row) == f"text {number}"
            assert label == number % 2
    assert data.task.classes == ("bad", "good")


def test_a_text_that_is_there_twice_counts_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="xaiprune"):
        data = read(tmp_path, rows() + "".join(f" text {n} ,good\n" for n in range(40)))
    assert "40 texts that are there already are left out" in caplog.text
    seen = [said(split.inputs(), row) for split in (data.validation, data.test) for row in range(len(split))]
    assert len(seen) == len(set(seen)) == 24


def test_so_many_of_each_class_and_another_seed_takes_others(tmp_path: Path) -> None:
    settings = {"reference_per_class": 3, "validation_per_class": 2, "test_per_class": 100}
    first, other = (read(tmp_path, rows(), seed=seed, **settings) for seed in (0, 1))
    assert first.reference.labels.bincount().tolist() == [3, 3]
    assert first.validation.labels.bincount().tolist() == [2, 2]
    assert len(first.test) == 12
    assert set(first.reference.files) != set(other.reference.files)
    assert first.reference.fingerprint() != other.reference.fingerprint()


def test_they_describe_themselves(tmp_path: Path) -> None:
    texts = read(tmp_path, rows()).validation
    assert (texts.noun, texts.measure, texts.window, texts.answers) == ("text", "top-1", None, 1)
    assert (texts.by_class, texts.pictured, texts.labelled, texts.size) == (True, False, True, (1, 7))
    part = texts.subset([3, 1])
    assert part.files == (texts.files[3], texts.files[1])
    (inputs, labels), *_ = part.batches(2)
    assert torch.equal(inputs["input_ids"], texts.inputs([3, 1])["input_ids"])
    assert torch.equal(labels, texts.labels[[3, 1]])
    predicted = PredictedImages(part, lambda: torch.zeros(2, dtype=torch.int64))
    assert predicted.inputs()["attention_mask"].shape == (2, 7)
    assert predicted.labels.tolist() == [0, 0]
    with pytest.raises(XaipruneError, match="no pixels"):
        texts.tensor()
    assert read(tmp_path, rows(), window=4).test.size == (1, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"texts\.csv is empty"),
        ("text,label\n", "has no rows behind its first line"),
        ("text,class\na,good\n", r"has no column 'label' \(its first line has text, class\)"),
        ("sentence,label\na,good\n", "has no column 'text'"),
        ("text,label\na,good\nb,god\n", r"row 2 has the label 'god', .* did you mean 'good'"),
        ("text,label\na,2\n", r"row 1 has the label '2', .* there are bad, good, or their numbers from 0"),
        ("text,label\na\n", "row 1 has the label ''"),
        ("text,label\na,good\n  ,bad\n", "row 2 has no text"),
        ("text,label\na,good\n", "has 1 texts, none of them left for"),
    ],
)
def test_what_is_wrong_is_one_line(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(XaipruneError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)
