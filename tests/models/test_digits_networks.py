"""The small networks: trained on the spot, good enough to prune, cached."""

from dataclasses import replace

import pytest
import timm
import torch

from xaiprune.config import DataConfig, ModelConfig
from xaiprune.data import Dataset, LabelledImages, Task, load_training
from xaiprune.errors import XaipruneError
from xaiprune.models import (
    TRAINING_RECIPES,
    TrainingRecipe,
    digits,
    fingerprint,
    load,
    preprocess,
    setup,
    train,
    train_,
)
from xaiprune.models.train import augment


def top1(model: torch.nn.Module, images: LabelledImages, task: Task) -> float:
    with torch.inference_mode():
        return (task.select(model(images.tensor())).argmax(1) == images.labels).float().mean().item()


def test_model_and_digits_just_work_together(tmp_path, caplog):
    config = DataConfig(cache_dir=str(tmp_path))  # an empty cache: it is trained here and now
    with caplog.at_level("INFO", logger="xaiprune"):
        opened = setup(ModelConfig(name="digits_resnet"), config, device="cpu")
    assert "training digits_resnet on the digits, once" in caplog.text
    assert isinstance(opened.data, Dataset)
    assert top1(opened.model, opened.data.validation, opened.data.task) >= 0.96
    assert top1(opened.model, opened.data.test, opened.data.task) >= 0.96


@pytest.mark.parametrize("name", TRAINING_RECIPES)
def test_the_cached_weights_are_found_again(name, tmp_path, monkeypatch):
    quick = replace(TRAINING_RECIPES[name], epochs=1)
    monkeypatch.setitem(TRAINING_RECIPES, name, quick)
    few = load_training(DataConfig(cache_dir=str(tmp_path)), preprocess(timm.create_model(name)))
    few = replace(few, train=few.train.subset(range(16)))
    monkeypatch.setattr(digits, "load_training", lambda *args: few)
    first = load(ModelConfig(name=name), cache=str(tmp_path))

    def refuse(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(digits, "train_digits", refuse)
    second = load(ModelConfig(name=name), cache=str(tmp_path))
    assert fingerprint(first) == fingerprint(second)
    monkeypatch.setitem(
        TRAINING_RECIPES, name, replace(quick, learning_rate=0.1)
    )  # another recipe, other weights
    with pytest.raises(AssertionError, match="trained again"):
        load(ModelConfig(name=name), cache=str(tmp_path))


def test_training_is_the_same_twice(digits_data):
    images = digits_data.reference

    def trained():
        torch.manual_seed(3)
        model = timm.create_model("digits_resnet")
        train_(model, images, digits_data.task, TrainingRecipe(epochs=1, batch_size=32), seed=3)
        return fingerprint(model)

    assert trained() == trained()


def test_training_works_on_selected_logits(digits_data):
    images = digits_data.reference.subset(digits_data.reference.labels < 2)
    model = timm.create_model("digits_resnet", num_classes=100)
    # One step an epoch: BatchNorm's running statistics take dozens of them to settle.
    train_(
        model, images, Task(("0", "1"), (40, 7)), TrainingRecipe(epochs=60, learning_rate=3e-3, flip=False)
    )
    assert not model.training
    with torch.inference_mode():
        found = model(images.tensor())[:, [40, 7]].argmax(1)
    assert (found == images.labels).float().mean() > 0.8


def test_a_last_batch_of_one_is_left_out(digits_data):
    model = timm.create_model("digits_resnet")
    train_(
        model,
        digits_data.reference.subset(range(9)),
        digits_data.task,
        TrainingRecipe(epochs=1, batch_size=8),
    )


def test_training_leaves_the_global_random_state_alone(digits_data):
    model = timm.create_model("digits_resnet")
    before = torch.get_rng_state()
    train_(model, digits_data.reference, digits_data.task, TrainingRecipe(epochs=1))
    assert torch.equal(before, torch.get_rng_state())


def test_augmentation_shifts_and_mirrors():
    images = torch.rand(64, 3, 8, 8)
    generator = torch.Generator().manual_seed(0)
    same = augment(images, TrainingRecipe(shift=0.0, flip=False), generator)
    torch.testing.assert_close(same, images)
    mirrored = augment(images, TrainingRecipe(shift=0.0, flip=True), generator)
    flipped = [torch.allclose(a, b.flip(-1), atol=1e-5) for a, b in zip(mirrored, images, strict=True)]
    kept = [torch.allclose(a, b, atol=1e-5) for a, b in zip(mirrored, images, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 16 < sum(flipped) < 48


def test_the_learning_rate_rises_then_falls_to_zero():
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    schedule = train._schedule(optimizer, TrainingRecipe(learning_rate=0.2, warmup=0.1), steps=40)
    rates = []
    for step in range(1, 41):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step_update(step)
    assert rates[0] == pytest.approx(0.2 / 4)
    assert rates[:5] == sorted(rates[:5])
    assert rates[4] == max(rates) == pytest.approx(0.2)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 0.01 * 0.2
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0)


def test_one_step_is_enough(digits_data):
    model = timm.create_model("digits_resnet")
    few = digits_data.reference.subset(range(8))
    train_(model, few, digits_data.task, TrainingRecipe(epochs=1, batch_size=8))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_short_form_of_a_setup(session_cache):
    opened = setup(ModelConfig(name="digits_resnet"), DataConfig(cache_dir=session_cache), device="cpu")
    assert repr(opened).startswith("Setup(ResNet on cpu, Dataset(100 reference, ")


def test_pretrained_is_not_for_digits_networks():
    with pytest.raises(XaipruneError, match=r"leave out model\.pretrained"):
        load(ModelConfig(name="digits_vit", pretrained=True))
