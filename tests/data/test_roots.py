"""Splits with folders of their own, with unlike classes, and without labels."""

import logging
import shutil

import pytest
from pictures import write_classes

from xaiprune.config import DataConfig, check_data
from xaiprune.data import UNLABELLED, MissingImages, Preprocess, load, load_calibration, load_training
from xaiprune.data import warn_of_seen as warn
from xaiprune.errors import XaipruneError

WNIDS = ("n01440764", "n02102040", "n03888257", "n01443537")  # ImageNet's 0, 217, 701 and 1
SMALL = Preprocess((16, 16), 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def config(tmp_path):
    """A configuration of image folders with a cache of its own."""

    def make(**keys):
        keys = {"reference_per_class": 2, **keys}
        keys |= {key: str(value) for key, value in keys.items() if key.endswith("root")}
        found = DataConfig(source="image_folder", cache_dir=str(tmp_path / "cache"), **keys)
        check_data(found)
        return found

    return make


@pytest.fixture
def wide(tmp_path):
    """A root whose test images are of other classes than the rest."""
    write_classes(tmp_path / "wide" / "reference", WNIDS[:3], 2)
    write_classes(tmp_path / "wide" / "validation", WNIDS[:3], 3)
    write_classes(tmp_path / "wide" / "test", WNIDS[2:], 4)
    write_classes(tmp_path / "wide" / "calibration", WNIDS, 1)  # no part: it must not disturb
    return tmp_path / "wide"


def flat(folder, count, name="class"):
    """A folder of pictures without classes."""
    write_classes(folder / "made", [name], count)
    for number in range(count):
        shutil.move(folder / "made" / name / f"{number}.png", folder / f"{name}-{number}.png")
    shutil.rmtree(folder / "made")
    return folder


@pytest.mark.parametrize("task", ["auto", "all"])
@pytest.mark.parametrize("label_space", [None, "imagenet-1k"])
def test_splits_may_hold_different_classes(wide, config, caplog, task, label_space):
    with caplog.at_level(logging.INFO):
        settings = config(root=wide, task=task, label_space=label_space, reference_per_class=10)
        data = load(settings, SMALL, 1000)
    assert data.task.logits is None
    assert len(data.task.classes) == 1000
    assert (len(data.reference), len(data.validation), len(data.test)) == (6, 9, 8)
    assert data.reference.labels.unique().tolist() == [0, 217, 701]
    assert data.test.labels.unique().tolist() == [1, 701]
    assert "(reference of 3, validation of 3, test of 2); the task is all 1000 outputs" in caplog.text
    assert "3 of 3 classes have fewer reference images than data.reference_per_class=10" in caplog.text
    assert len(caplog.records) == 2


def test_the_same_few_classes_are_still_selected(tmp_path, config):
    for part in ("reference", "validation", "test"):
        write_classes(tmp_path / "few" / part, WNIDS[:3], 2)
    assert load(config(root=tmp_path / "few"), SMALL, 1000).task.logits == (0, 217, 701)


def test_a_task_that_selects_classes_is_as_strict_as_ever(wide, config):
    with pytest.raises(XaipruneError, match=r"class n01443537 has no reference images; .*set data\.task=all"):
        load(config(root=wide, task="classes"), SMALL, 1000)
    with pytest.raises(XaipruneError, match=r"class n01440764 has no test images"):
        load(config(root=wide, classes=list(WNIDS[:2])), SMALL, 1000)


def test_a_folder_outside_the_label_space_is_named_with_its_key(wide, config, tmp_path):
    write_classes(tmp_path / "other", ["sofa bed thing"], 2)
    for label_space in (None, "imagenet-1k"):
        settings = config(root=wide, test_root=tmp_path / "other", label_space=label_space)
        with pytest.raises(XaipruneError) as error:
            load(settings, SMALL, 1000)
        assert str(error.value).startswith(
            f"data.test_root: class folder 'sofa bed thing' in {tmp_path / 'other'}: ImageNet-1k has no class"
        )
        assert "\n" not in str(error.value)
    with pytest.raises(
        XaipruneError, match=r"\(data\.test_root\) has 5 classes, but the network has 3 outputs"
    ):
        load(config(root=wide, test_root=tmp_path / "other", label_space="folders"), SMALL, 3)


def test_roots_anywhere_are_the_same_as_parts_of_one_root(wide, config, tmp_path):
    whole = load(config(root=wide), SMALL, 1000)
    for name in ("validation", "test"):
        shutil.move(wide / name, tmp_path / f"my {name}")
    roots = {f"{name}_root": tmp_path / f"my {name}" for name in ("validation", "test")}
    for given in ({"root": wide, **roots}, {"reference_root": wide / "reference", **roots}):
        data = load(config(**given), SMALL, 1000)
        assert data.task == whole.task
        for name in ("reference", "validation", "test"):
            assert getattr(data, name).fingerprint() == getattr(whole, name).fingerprint()


def test_a_root_replaces_one_part_of_a_source_without_parts(tmp_path, config):
    write_classes(tmp_path / "photos", ("ant", "bee"), 10)
    write_classes(tmp_path / "more", ("ant", "bee"), 3)
    before = load(config(root=tmp_path / "photos"), SMALL, 2)
    data = load(config(root=tmp_path / "photos", reference_root=tmp_path / "more"), SMALL, 2)
    assert data.validation.fingerprint() == before.validation.fingerprint()
    assert data.test.fingerprint() == before.test.fingerprint()
    assert all(file.startswith("reference/") for file in data.reference.files)


def test_a_root_for_a_part_leaves_the_others_whole(tmp_path, config):
    for name in ("train", "val"):
        write_classes(tmp_path / "photos" / name, ("ant", "bee"), 4)
    write_classes(tmp_path / "tests", ("ant", "bee"), 3)
    assert len(load(config(root=tmp_path / "photos"), SMALL, 2).validation) == 4  # halved
    data = load(config(root=tmp_path / "photos", test_root=tmp_path / "tests"), SMALL, 2)
    assert (len(data.validation), len(data.test)) == (8, 6)


def test_what_no_root_has_is_missing(wide, config):
    data = load(config(reference_root=wide / "reference"), SMALL, 1000)
    assert data.task.logits == (0, 217, 701)
    assert isinstance(data.test, MissingImages)
    with pytest.raises(
        XaipruneError, match=r"there are no test images; set data\.test_root \(or data\.root\)"
    ):
        data.test.tensor()
    only = load(config(test_root=wide / "test"), SMALL, 1000)
    assert (len(only.reference), len(only.validation), len(only.test)) == (0, 0, 8)


def test_no_picture_is_in_two_splits_whatever_it_is_called(wide, config, tmp_path):
    root = wide / "validation"
    linked = tmp_path / "linked" / WNIDS[0]
    linked.mkdir(parents=True)
    (linked / "other name.png").symlink_to(root / WNIDS[0] / "1.png")
    for reference in (root, tmp_path / "linked", wide / "test" / ".." / "validation"):
        settings = config(reference_root=reference, validation_root=root)
        with pytest.raises(
            XaipruneError, match=r"\.png is in both the reference and the validation split; give"
        ):
            load(settings, SMALL, 1000)


def test_copies_in_two_roots_are_mentioned(wide, config, tmp_path, caplog):
    shutil.copytree(wide / "validation", tmp_path / "copy")
    with caplog.at_level(logging.WARNING):
        load(config(reference_root=tmp_path / "copy", validation_root=wide / "validation"), SMALL, 1000)
    assert "6 pictures of the reference split are identical to one in validation" in caplog.text


def test_pictures_without_class_folders_have_no_labels(tmp_path, config):
    roots = {f"{part}_root": flat(tmp_path / part, 25, part) for part in ("reference", "validation", "test")}
    data = load(config(**roots), SMALL, 5)
    assert data.task.classes == ("0", "1", "2", "3", "4")
    assert data.task.logits is None
    assert len(data.reference) == 10  # as 2 of each of 5 classes would be
    assert (len(data.validation), len(data.test)) == (25, 25)
    for images in (data.reference, data.validation, data.test):
        assert not images.labelled
        assert set(images.labels.tolist()) == {UNLABELLED}
        assert repr(images).endswith("no labels)")
    wordy = load(config(**roots, label_space="imagenet-1k"), SMALL, 1000)
    assert wordy.task.classes[0] == "n01440764"


def test_one_flat_root_is_divided(tmp_path, config):
    data = load(config(root=flat(tmp_path / "flat", 50)), SMALL, 10)
    assert (len(data.reference), len(data.validation), len(data.test)) == (20, 10, 10)
    assert len({*data.reference.files, *data.validation.files, *data.test.files}) == 40


def test_some_splits_with_labels_and_others_without(wide, config, tmp_path):
    settings = config(root=wide, test_root=wide / "validation", validation_root=flat(tmp_path / "flat", 5))
    data = load(settings, SMALL, 1000)
    assert data.task.logits is None  # who knows what the pictures show
    assert data.reference.labelled
    assert not data.validation.labelled
    for keys in ({"task": "classes"}, {"classes": list(WNIDS[:2])}):
        settings = config(root=wide, validation_root=tmp_path / "flat", **keys)
        with pytest.raises(XaipruneError, match="selects classes, but the validation images have no labels"):
            load(settings, SMALL, 1000)


def test_what_needs_labels_says_so(tmp_path, config):
    folder = flat(tmp_path / "flat", 20)
    with pytest.raises(XaipruneError, match="the train images have no labels to train with"):
        load_training(config(root=folder), SMALL, 10)
    with pytest.raises(XaipruneError, match="how many outputs the network has is not known"):
        load(config(root=folder), SMALL)


def test_what_is_neither_classes_nor_pictures(tmp_path, config):
    (tmp_path / "empty").mkdir()
    with pytest.raises(XaipruneError, match=r"data\.test_root: no class folders in .*empty, and no pictures"):
        load(config(test_root=tmp_path / "empty"), SMALL, 10)
    write_classes(flat(tmp_path / "both", 3), ("ant",), 2)
    with pytest.raises(
        XaipruneError, match=r"data\.test_root: .*both has both folders and pictures .*class-0"
    ):
        load(config(test_root=tmp_path / "both"), SMALL, 10)
    with pytest.raises(XaipruneError, match=r"data\.validation_root: no such folder"):
        config(root=tmp_path, validation_root=tmp_path / "nowhere")
    with pytest.raises(
        XaipruneError, match=r"data\.test_root has no place beside data=digits.*data=image_folder"
    ):
        load(DataConfig(test_root=str(tmp_path)), SMALL, 10)


def test_calibration_pictures_of_any_folder(wide, config, tmp_path, caplog):
    settings = config(root=wide)
    data = load(settings, SMALL, 1000)
    found = load_calibration(str(wide / "calibration"), settings, SMALL)
    assert len(found) == 4
    assert not found.labelled
    assert [len(images) for images, _ in found.batches(3)] == [3, 1]
    assert len(load_calibration(str(flat(tmp_path / "flat", 7)), settings, SMALL)) == 7
    # Of each class about as many, the same for the same seed.
    some = load_calibration(str(wide / "test"), settings, SMALL, 4)
    assert sorted(file.split("/")[0] for file in some.files) == [WNIDS[3], WNIDS[3], WNIDS[2], WNIDS[2]]
    assert load_calibration(str(wide / "test"), settings, SMALL, 4).fingerprint() == some.fingerprint()
    other = load_calibration(str(wide / "test"), config(root=wide, seed=1), SMALL, 4)
    assert other.files != some.files
    with caplog.at_level(logging.WARNING):
        warn(some, data)
    assert "4 calibration pictures are identical to one in the test split" in caplog.text


def test_a_bad_calibration_file(tmp_path, caplog):
    folder = flat(tmp_path / "flat", 4)
    (folder / "readme.txt").write_text("no picture")
    with pytest.raises(XaipruneError, match=r"readme\.txt cannot be read as an image"):
        load_calibration(str(folder), DataConfig(cache_dir=str(tmp_path / "cache")), SMALL)
    settings = DataConfig(cache_dir=str(tmp_path / "cache"), on_bad_image="skip")
    with caplog.at_level(logging.WARNING):
        assert len(load_calibration(str(folder), settings, SMALL, 4)) == 4
    assert "skipped 1 unreadable file" in caplog.text
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        XaipruneError, match=r"prune\.calibration_root: no class folders in .*, and no pictures"
    ):
        load_calibration(str(tmp_path / "empty"), settings, SMALL)
