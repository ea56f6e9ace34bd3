"""From a configuration to images: sources, label spaces, bad files."""

import logging

import numpy as np
import pytest
import torch
from pictures import write_classes
from PIL import Image

from xaiprune.config import DataConfig
from xaiprune.data import Preprocess, load, load_training
from xaiprune.errors import XaipruneError

WNIDS = ("n01440764", "n02102040", "n03888257")  # ImageNet's 0, 217 and 701
SMALL = Preprocess((16, 16), 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def config(tmp_path):
    """A configuration of an image folder with a cache of its own."""

    def make(root=None, **keys):
        keys = {"reference_per_class": 2, **keys}
        return DataConfig(
            source="image_folder",
            root=str(root or tmp_path / "photos"),
            cache_dir=str(tmp_path / "cache"),
            **keys,
        )

    return make


@pytest.fixture
def photos(tmp_path):
    write_classes(tmp_path / "photos", ("ant", "bee", "cat"), 10)
    return tmp_path / "photos"


def test_one_folder_a_class(photos, config):
    data = load(config(), SMALL, 3)
    assert (len(data.reference), len(data.validation), len(data.test)) == (6, 6, 6)
    assert data.task.classes == ("ant", "bee", "cat")
    assert data.task.logits is None
    for images in (data.reference, data.validation, data.test):
        assert [file.split("/")[0] for file in images.files] == [data.task.classes[i] for i in images.labels]


def test_loading_again_gives_the_same(photos, config):
    one, other = load(config(), SMALL, 3), load(config(), SMALL, 3)
    assert one.test.fingerprint() == other.test.fingerprint()
    assert one.reference.files == other.reference.files
    assert load(config(seed=1), SMALL, 3).reference.files != one.reference.files


def test_training_images_are_neither_validation_nor_test(photos, config):
    training, data = load_training(config(), SMALL), load(config(), SMALL, 3)
    assert len(training.train) == 18
    assert set(data.reference.files) <= set(training.train.files)
    assert training.test.files == data.test.files
    assert not set(training.train.files) & (set(data.validation.files) | set(data.test.files))


@pytest.mark.parametrize("names", [("reference", "validation", "test"), ("train", "val", "test")])
def test_a_root_with_parts(tmp_path, config, names):
    for name in names:
        write_classes(tmp_path / "photos" / name, ("ant", "bee"), 4)
    data = load(config(), SMALL, 2)
    for images, name in zip((data.reference, data.validation, data.test), names, strict=True):
        assert {file.split("/")[0] for file in images.files} == {name}
    assert len(data.reference) == 4
    assert len(data.test) == 8


def test_imagenet(tmp_path, config):
    for part in ("train", "val"):
        write_classes(tmp_path / "photos" / part, WNIDS, 4)
    settings = config(label_space="imagenet-1k")
    settings.source = "imagenet"
    data = load(settings, SMALL, 1000)
    assert data.task.logits == (0, 217, 701)
    assert (len(data.reference), len(data.validation), len(data.test)) == (6, 6, 6)
    assert not set(data.validation.files) & set(data.test.files)
    settings.root = str(tmp_path / "photos" / "train")
    with pytest.raises(XaipruneError, match=r"data\.root: no folder train .* data=image_folder"):
        load(settings, SMALL, 1000)


@pytest.mark.parametrize("label_space", ["imagenet-1k", None])
def test_wnids_are_imagenets_outputs_and_never_the_first_ones(tmp_path, config, label_space):
    write_classes(tmp_path / "photos", WNIDS, 10)
    data = load(config(label_space=label_space), SMALL, 1000)
    assert data.task.logits == (0, 217, 701)
    assert set(data.test.labels.tolist()) == {0, 1, 2}
    everything = load(config(label_space=label_space, task="all"), SMALL, 1000)
    assert everything.task.logits is None
    assert len(everything.task.classes) == 1000
    assert set(everything.test.labels.tolist()) == {0, 217, 701}


def test_wnids_of_a_network_with_as_many_outputs_are_its_outputs(tmp_path, config):
    write_classes(tmp_path / "photos", WNIDS, 10)
    assert load(config(), SMALL, 3).task.logits is None
    with pytest.raises(XaipruneError, match=r"needs a network with 1000 outputs, this one has 3"):
        load(config(label_space="imagenet-1k"), SMALL, 3)


def test_wnids_without_a_network_are_refused_with_the_way_out(tmp_path, config):
    write_classes(tmp_path / "photos", WNIDS, 10)
    with pytest.raises(XaipruneError, match=r"set data\.label_space=imagenet-1k"):
        load(config(), SMALL)
    with pytest.raises(XaipruneError, match=r"has 3 classes, but the network has 21 outputs"):
        load(config(), SMALL, 21)


def test_class_names_map_to_imagenet(tmp_path, config):
    write_classes(tmp_path / "photos", ("Golden_Retriever", "tench"), 10)
    data = load(config(label_space="imagenet-1k"), SMALL, 1000)
    assert data.task.logits == (207, 0)
    write_classes(tmp_path / "birds", ("crane", "tench"), 10)
    with pytest.raises(
        XaipruneError, match="ImageNet has two classes 'crane'; use the wnid n02012849 or n03126707"
    ):
        load(config(tmp_path / "birds", label_space="imagenet-1k"), SMALL, 1000)


def test_classes_restrict_the_task_by_selecting_logits(photos, config):
    data = load(config(classes=["cat", "ant"]), SMALL, 3)
    assert data.task.classes == ("ant", "cat")
    assert data.task.logits == (0, 2)
    outputs = torch.tensor([[-1.0, 5.0, -2.0]])
    assert data.task.select(outputs).tolist() == [[-1.0, -2.0]]  # the others are gone, not zero
    assert data.task.targets(torch.tensor([1, 0])).tolist() == [2, 0]
    assert {file.split("/")[0] for file in data.test.files} == {"ant", "cat"}
    every = load(config(classes=["cat", "ant"], task="all"), SMALL, 3)
    assert set(every.test.labels.tolist()) == {0, 2}


def test_classes_by_imagenets_names(tmp_path, config):
    write_classes(tmp_path / "photos", WNIDS, 10)
    data = load(config(classes=["tench", "n03888257"]), SMALL, 1000)
    assert data.task.classes == ("n01440764", "n03888257")


def test_unknown_and_single_classes(photos, config):
    with pytest.raises(XaipruneError, match="has no class 'cta'; did you mean 'cat'"):
        load(config(classes=["ant", "cta"]), SMALL, 3)
    with pytest.raises(XaipruneError, match="at least two classes, got cat"):
        load(config(classes=["cat"]), SMALL, 3)


def test_a_network_with_other_outputs_is_refused(photos, config):
    with pytest.raises(
        XaipruneError, match=r"3 classes, but the network has 1000 outputs; set model\.kwargs"
    ):
        load(config(), SMALL, 1000)


def test_too_few_images(photos, config):
    some = {"classes": ["ant", "cat"]}  # a task that selects them
    with pytest.raises(
        XaipruneError, match=r"has 6 reference images, 7 were asked for.*data\.reference_per_class"
    ):
        load(config(reference_per_class=7, **some), SMALL, 3)
    with pytest.raises(XaipruneError, match=r"has 2 test images, 3 were asked for.*data\.test_per_class"):
        load(config(test_per_class=3, **some), SMALL, 3)


def test_too_few_images_of_a_class_are_taken_where_every_output_is_in_the_task(photos, config, caplog):
    with caplog.at_level(logging.WARNING):
        data = load(config(reference_per_class=7), SMALL, 3)
    assert len(data.reference) == 18
    assert (
        "3 of 3 classes have fewer reference images than data.reference_per_class=7 (ant: 6)" in caplog.text
    )


def test_an_empty_folder(tmp_path, config):
    (tmp_path / "photos").mkdir()
    with pytest.raises(XaipruneError, match=r"data\.root: no class folders"):
        load(config(), SMALL, 3)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "truncated"),
        (lambda path: path.write_text("not a picture"), "no image format"),
        (lambda path: path.write_bytes(b""), "no image format"),
    ],
)
def test_a_bad_file_is_named_or_skipped(photos, config, caplog, damage, reason):
    broken = photos / "bee" / "3.png"
    damage(broken)
    with pytest.raises(XaipruneError) as error:
        load_training(config(), SMALL)
    assert str(broken) in str(error.value)
    assert reason in str(error.value)
    assert "data.on_bad_image=skip" in str(error.value)
    with caplog.at_level(logging.WARNING):
        training = load_training(config(on_bad_image="skip"), SMALL)
    assert len(training.train) + len(training.validation) + len(training.test) == 29
    assert "skipped 1 unreadable file (first:" in caplog.text
    with pytest.raises(XaipruneError, match=str(broken)):  # also where the cache knows it already
        load_training(config(), SMALL)


def test_a_skipped_reference_is_replaced(photos, config):
    first = load(config(), SMALL, 3).reference.files[0]
    (photos / first).write_text("not a picture")
    data = load(config(on_bad_image="skip"), SMALL, 3)
    assert first not in data.reference.files
    assert sorted(data.reference.labels.tolist()) == [0, 0, 1, 1, 2, 2]


def test_twins_in_two_splits_are_mentioned(photos, config, caplog):
    data = load(config(), SMALL, 3)
    (photos / data.test.files[0]).write_bytes((photos / data.reference.files[0]).read_bytes())
    with caplog.at_level(logging.WARNING):
        load(config(), SMALL, 3)
    assert "1 pictures of the reference split are identical to one in test" in caplog.text


def test_other_modes_become_rgb(tmp_path, config):
    write_classes(tmp_path / "photos", ("ant", "bee"), 6)
    Image.fromarray(np.full((20, 20), 128, np.uint8), "L").save(tmp_path / "photos" / "ant" / "grey.png")
    Image.new("RGBA", (20, 20), (10, 20, 30, 40)).save(tmp_path / "photos" / "ant" / "clear.png")
    assert load_training(config(), SMALL).train.pixels.shape[1:] == (16, 16, 3)


def test_digits(tmp_path):
    data = load(DataConfig(source="digits", cache_dir=str(tmp_path)), SMALL, 10)
    assert (len(data.reference), len(data.validation), len(data.test)) == (100, 360, 359)
    assert data.task.classes == tuple("0123456789")
    other = load(DataConfig(source="digits", cache_dir=str(tmp_path), seed=1), SMALL, 10)
    assert other.reference.files != data.reference.files
    # The networks are trained on the rest: no seed may move pictures between the parts.
    assert other.test.fingerprint() == data.test.fingerprint()


@pytest.mark.realdata
def test_real_photographs(shared_data, session_cache):
    settings = DataConfig(
        source="image_folder", root=str(shared_data / "imagenette"), cache_dir=session_cache, image_size=32
    )
    data = load(settings, SMALL, 1000)
    assert data.task.logits == (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)
    assert data.validation.labels.bincount().tolist() == [120] * 10
    assert data.test.labels.bincount().tolist() == [120] * 10
    assert load_training(settings, SMALL, 1000).train.labels.bincount().tolist() == [60] * 10
    assert len(data.reference) == 100
