"""Names for people: of wnids ImageNet's, of anything else what the folder says."""

from __future__ import annotations

from xaiprune.data.imagenet_labels import class_name, wnids


def test_a_wnid_has_imagenets_name_and_others_stay() -> None:
    assert class_name("n01440764") == "tench"
    assert class_name("n02102040") == "English springer"
    assert class_name("n00004475") == "organism"  # of ImageNet-21k
    assert class_name("7") == "7"
    assert class_name("n99999999") == "n99999999"


def test_names_tell_all_classes_apart() -> None:
    names = [class_name(wnid) for wnid in wnids()]
    assert len(set(names)) == 1000
    assert class_name("n02012849") == "crane (n02012849)"
