"""Two whole tasks on real input: train a network on the digits, then evaluate what came out."""

import logging
import re

import pytest

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
