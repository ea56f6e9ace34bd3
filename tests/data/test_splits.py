"""Splits: disjoint, deterministic, and what they draw from."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xaiprune.data.source import Picture, Source
from xaiprune.data.split import by_hash, pick, pools, require_enough
from xaiprune.errors import XaipruneError

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def source(*parts, per_class=20, classes=3):
    pictures = [
        Picture(f"{part}/{label}/{number}", label, part, "1")
        for part in parts
        for label in range(classes)
        for number in range(per_class)
    ]
    return Source("here", tuple("abc"[:classes]), tuple(pictures), open=lambda picture: None)


@pytest.mark.parametrize(
    "parts",
    [
        (None,),
        ("train",),
        ("validation",),
        ("reference", "validation", "test"),
        ("train", "validation", "test"),
        ("train", "validation"),
        ("train", "test"),
        ("train", "reference", "validation"),
        ("validation", "test"),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_whatever_a_source_has_the_three_are_disjoint_and_complete(parts, seed):
    found = pools(source(*parts), seed)
    reference, validation, test = map(set, (found.reference, found.validation, found.test))
    for one, other in ((reference, validation), (reference, test), (validation, test)):
        assert one
        assert other
        assert not one & other
    assert not set(found.train) & (validation | test)
    assert set(found.train) | reference | validation | test == set(source(*parts).pictures)
    for pool in (found.reference, found.validation, found.test):
        assert {picture.label for picture in pool} == {0, 1, 2}


def test_own_parts_are_followed():
    found = pools(source("reference", "validation", "test"), 0)
    assert {p.part for p in found.reference} == {"reference"}
    assert {p.part for p in found.validation} == {"validation"}
    assert {p.part for p in found.test} == {"test"}


def test_validation_is_halved_where_there_is_no_test():
    found = pools(source("train", "validation"), 0)
    assert len(found.validation) == len(found.test) == 30
    assert {p.part for p in (*found.validation, *found.test)} == {"validation"}


@given(st.integers(3, 60), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_every_class_is_divided_by_its_shares(count, seed):
    files = [f"{label}-{number}" for label in "ab" for number in range(count)]
    labels = [0] * count + [1] * count
    parts = by_hash(files, labels, SHARES, seed=seed)
    for label in "ab":
        for part, share in SHARES.items():
            size = sum(parts[f"{label}-{number}"] == part for number in range(count))
            assert abs(size - share * count) <= 1
    backwards = by_hash(files[::-1], labels[::-1], SHARES, seed=seed)
    assert parts == backwards  # neither the order of the files nor the time of day matters


def test_another_seed_divides_differently():
    assert pools(source(None), 0).test != pools(source(None), 1).test


def test_pick_takes_as_many_of_each_class_and_mixes_them():
    chosen = pick(source(None).pictures, 4, seed=0)
    labels = [picture.label for picture in chosen]
    assert sorted(labels) == [0] * 4 + [1] * 4 + [2] * 4
    assert labels != sorted(labels)
    assert set(chosen) != set(pick(source(None).pictures, 4, seed=1))
    assert set(pick(source(None).pictures, 3, seed=0)) < set(chosen)  # fewer are a part of more


def test_too_few_names_the_class_and_the_counts():
    pictures = source(None, per_class=5).pictures
    with pytest.raises(XaipruneError, match=r"class b has 4 reference images, 5 were asked for; lower K"):
        require_enough(
            [p for p in pictures if p.file != "None/1/0"], {0: "a", 1: "b", 2: "c"}, 5, "reference", "K"
        )
    with pytest.raises(XaipruneError, match=r"class a has no test images \(and 2 more classes\)"):
        require_enough([], {0: "a", 1: "b", 2: "c"}, None, "test", "K")
