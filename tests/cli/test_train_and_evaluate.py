"""Two whole tasks on real input: train a network on the digits, then evaluate what came out."""

import logging
import re

import pytest
from PIL import Image

from tests.data.pictures import write_classes
from xaiprune.cli.__main__ import main
from xaiprune.cli.train import training_recipe
from xaiprune.config import compose
from xaiprune.models import TRAINING_RECIPES, TrainingRecipe


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    logging.getLogger("xaiprune").handlers.clear()
    logging.getLogger("xaiprune").propagate = True


def test_train_then_evaluate(tmp_path, capsys, session_cache):
    cache = f"data.cache_dir={session_cache}"
    assert main(["train", cache, "train.epochs=3", "device=cpu"]) == 0
    shown = capsys.readouterr().out
    weights = tmp_path / "outputs" / "digits_resnet-digits.safetensors"
    assert str(weights) in shown
    trained = re.search(r"test +top-1 (\S+)%", shown).group(1)
    assert float(trained) > 50  # chance is 10
    assert main(["evaluate", cache, f"model.checkpoint={weights}", "device=cpu"]) == 0
    shown = capsys.readouterr().out
    assert f"top-1    {trained}%" in shown
    assert "of 359 images among 10 classes (chance 10.0%)" in shown
    assert "0.21 M params" in shown


def test_training_settings_come_from_the_recipe_then_from_the_user():
    assert training_recipe(compose("train")) == TRAINING_RECIPES["digits_resnet"]
    assert training_recipe(compose("train", ["train.epochs=2", "train.shift=0"])).epochs == 2
    assert training_recipe(compose("train", ["model=resnet18"])) == TrainingRecipe(
        flip=False
    )  # digits are not mirrored


def test_photographs_are_mirrored(tmp_path):
    config = compose("train", ["data=image_folder", f"data.root={tmp_path}"])
    assert training_recipe(config).flip
    config = compose("train", ["data=image_folder", f"data.root={tmp_path}", "train.flip=false"])
    assert not training_recipe(config).flip


@pytest.mark.parametrize("resize", ["", "data.resize=40"])
def test_a_network_of_one_channel_gets_grey_pictures(resize, tmp_path, capsys):
    """Blue and red, which grey values tell apart."""
    for name, colour in (("blue", (0, 0, 250)), ("red", (250, 0, 0))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (40, 40), tuple(max(0, part - number) for part in colour)).save(
                tmp_path / "photos" / name / f"{number}.png"
            )
    task = ["model=resnet10t", "data=image_folder", "data.root=photos", "data.cache_dir=cache", "device=cpu"]
    task += ["model.kwargs={in_chans:1,num_classes:2}", "data.image_size=32", "data.test_per_class=4"]
    task += ["data.validation_per_class=4", *([resize] if resize else [])]
    assert main(["train", *task, "train.epochs=12", "train.output=grey.safetensors"]) == 0
    assert "100.0%" in capsys.readouterr().out
    evaluated = ["data.reference_per_class=4", "model.checkpoint=grey.safetensors"]
    assert main(["evaluate", *task, *evaluated]) == 0
    shown = capsys.readouterr().out
    assert "top-1    100.0%" in shown
    assert "among 2 classes" in shown
    assert main(["attribute", *task, *evaluated, "units=filters"]) == 0  # heatmaps are drawn, too


@pytest.mark.parametrize("task", ["evaluate", "train", "prune", "search"])
def test_pictures_have_no_four_channels(task, tmp_path, capsys):
    write_classes(tmp_path / "photos", ["a", "b"], 6)
    given = ["model=resnet10t", "data=image_folder", "data.root=photos", "data.cache_dir=cache", "device=cpu"]
    given += ["model.pretrained=false"]
    assert main([task, *given, "model.kwargs={in_chans:4,num_classes:2}"]) == 2
    captured = capsys.readouterr()
    assert "reads images of 4 channels, pictures have 3" in captured.err + captured.out
    assert "model.kwargs.in_chans" in captured.err + captured.out
