"""`xaiprune prune`, then `xaiprune evaluate` on what it wrote."""

import logging
import re

import pytest
import torch

from xaiprune.cli.__main__ import main
from xaiprune.cli.train import training_recipe
from xaiprune.config import compose
from xaiprune.models import TRAINING_RECIPES
from xaiprune.pruning import load_pruned, load_pruned_plan

CACHE_KEY = "data.cache_dir"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xaiprune.session.outcome._SECONDS", 0.01)
    yield
    logging.getLogger("xaiprune").handlers.clear()
    logging.getLogger("xaiprune").propagate = True


@pytest.fixture
def common(session_cache):
    return [f"{CACHE_KEY}={session_cache}", "device=cpu", "model=digits_vit", "data.test_per_class=10"]


def test_prune_then_evaluate_then_prune_again(tmp_path, common, capsys):
    command = ["prune", *common, "units=neurons+heads", "prune.rate=0.4", "prune.compensate=linear"]
    assert main([*command, "output_dir=small"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"parameters +[\d,]+ -> [\d,]+ \(x0\.\d+\)", shown)
    assert "latency, batch 32" in shown
    pruned = re.search(r"-> (\S+)% .* of 100 images", shown).group(1)
    assert load_pruned_plan("small").rate == 0.4
    assert not load_pruned("small").training

    assert main(["evaluate", *common, "model.pruned=small"]) == 0
    assert f"top-1    {pruned}%" in capsys.readouterr().out

    again = ["prune", *common, "units=neurons", "model.pruned=small", "output_dir=smaller", "prune.rounds=2"]
    assert main([*again, "prune.rate=0.2"]) == 0
    sizes = [sum(p.numel() for p in load_pruned(name).parameters()) for name in ("small", "smaller")]
    assert sizes[1] < sizes[0]


def test_a_plan_file_is_applied_only_to_its_network(tmp_path, common, capsys):
    command = ["prune", *common, "units=neurons", "prune.rate=0.3"]
    assert main([*command, "output_dir=one"]) == 0
    load_pruned_plan("one").save("plan.json")
    assert main([*command, "prune.plan=plan.json", "output_dir=two"]) == 0
    first, second = load_pruned("one").state_dict(), load_pruned("two").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    capsys.readouterr()
    resnet = [word.replace("digits_vit", "digits_resnet") for word in common]
    arguments = ["prune", *resnet, "units=inner_filters", "prune.plan=plan.json", "output_dir=three"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "the plan was made for the network" in error
    assert not (tmp_path / "three").exists()


def test_masks_groups_and_recalibration(common, capsys):
    common = [word.replace("digits_vit", "digits_resnet") for word in common]
    command = ["prune", *common, "units=filters", "prune.rate=0.5", "prune.bn=recalibrate"]
    assert main([*command, "output_dir=masked"]) == 0
    assert "added to another layer's output" in capsys.readouterr().out
    assert main([*command, "prune.coupled=group", "prune.budget=macs", "output_dir=grouped"]) == 0
    assert "masked" not in capsys.readouterr().out


def test_a_pruned_network_is_trained_on_and_stays_small(tmp_path, common, capsys):
    command = ["prune", *common, "units=neurons", "prune.rate=0.5", "output_dir=small"]
    assert main(command) == 0
    recipe, dense_recipe = (
        training_recipe(compose("train", ["model.pruned=small"])),
        TRAINING_RECIPES["digits_vit"],
    )
    assert recipe.epochs < dense_recipe.epochs
    assert recipe.learning_rate < dense_recipe.learning_rate
    capsys.readouterr()
    assert main(["train", *common, "model.pruned=small", "train.epochs=1"]) == 0
    shown = capsys.readouterr().out
    folder = tmp_path / "outputs" / "small-digits"
    assert str(folder) in shown
    before, after = load_pruned("small").state_dict(), load_pruned(folder).state_dict()
    assert {name: tensor.shape for name, tensor in before.items()} == {
        name: tensor.shape for name, tensor in after.items()
    }
    assert not torch.equal(before["head.weight"], after["head.weight"])
    assert load_pruned_plan(folder) == load_pruned_plan("small")
    trained = re.search(r"test +top-1 (\S+)%", shown).group(1)
    assert main(["evaluate", *common, f"model.pruned={folder}"]) == 0
    assert f"top-1    {trained}%" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["prune", "train"])
def test_a_folder_with_other_things_is_refused_before_the_work(tmp_path, common, capsys, task, monkeypatch):
    monkeypatch.setattr(f"xaiprune.cli.{task}.{'open_session' if task == 'prune' else '_network'}", None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    key = {"prune": ["output_dir=mine"], "train": ["model.pruned=mine", "train.output=mine"]}[task]
    assert main([task, *common, *key]) == 2
    assert "mine holds other things; name a new folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
