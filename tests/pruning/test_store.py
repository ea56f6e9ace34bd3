"""Pruned networks on disk: what is saved loads back, what is damaged says so."""

import json
import os

import pytest
import timm
import torch
import yaml

from tests.pruning.networks import build
from tests.pruning.test_remove import random_plan
from xaiprune.config import ModelConfig
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing_folder
from xaiprune.models import Origin, origin_of
from xaiprune.pruning import (
    Plan,
    architecture_of,
    load_pruned,
    load_pruned_plan,
    remove_with_report,
    save_pruned,
)
from xaiprune.units import find_units

ARGUMENTS = {"img_size": 32, "depth": 2, "num_classes": 10}
CASES = [
    ("resnet18", {"num_classes": 10}, "filters", "group"),
    ("densenet121", {"num_classes": 10}, "filters", "mask"),
    ("mobilenetv3_large_100", {"num_classes": 10}, "inner_filters", "mask"),
    ("vit_tiny_patch16_224", ARGUMENTS, "neurons+heads", "mask"),
]


@pytest.mark.parametrize(("name", "kwargs", "kind", "coupled"), CASES)
def test_round_trip(tmp_path, name, kwargs, kind, coupled):
    model = build("timm", name, kwargs)
    side = 32 if name.startswith("vit") else 64
    images = torch.randn(2, 3, side, side)
    units = find_units(model, kind, example=images[:1])
    plan = random_plan(units, 0.4)
    result = remove_with_report(model, plan, units, images[:1], coupled)
    folder = save_pruned(
        result.model,
        tmp_path / "new" / "pruned",
        architecture=name,
        kwargs=kwargs,
        plan=plan,
        replaced=result.replaced,
        numbers={"top-1": "12.3 %"},
    )
    loaded = load_pruned(folder)
    saved, opened = result.model.state_dict(), loaded.state_dict()
    assert list(saved) == list(opened)
    assert all(torch.equal(saved[key], opened[key]) for key in saved)
    with torch.no_grad():  # not bit by bit: kernels are chosen by where in memory the weights lie
        torch.testing.assert_close(loaded(images), result.model(images), rtol=1e-5, atol=1e-5)
    assert not loaded.training
    assert load_pruned_plan(folder) == plan
    assert architecture_of(folder) == (name, kwargs, result.replaced)
    assert sorted(path.name for path in folder.iterdir()) == ["card.md", "model.safetensors", "plan.json"]
    assert "| top-1 | 12.3 % |" in (folder / "card.md").read_text()
    assert os.listdir(folder.parent) == ["pruned"]


def test_a_plan_has_a_line_for_each_layer_and_old_files_are_read(tmp_path, saved):
    folder, small, arguments = saved
    plan = arguments["plan"]
    lines = (folder / "plan.json").read_text().splitlines()
    for name, total in plan.totals.items():
        removed = ", ".join(map(str, plan.removed[name]))
        start = f'   "{name}": {{"units": {total}, "removed": [{removed}]}}'
        assert sum(line.rstrip(",") == start for line in lines) == 1
    assert all(len(json.loads(f"{{{line.strip().rstrip(',')}}}")) == 1 for line in lines if "units" in line)
    assert len(lines) < 60
    for path, content in ((folder / "plan.json", None), (tmp_path / "alone.json", plan.to_json())):
        text = content or path.read_text()
        path.write_text(json.dumps(json.loads(text), indent=1))  # as earlier versions wrote it
    assert load_pruned_plan(folder) == plan == Plan.load(tmp_path / "alone.json")
    assert torch.equal(load_pruned(folder).head.bias, small.head.bias)


def test_the_card_says_where_the_network_comes_from(tmp_path, saved):
    folder, small, arguments = saved
    named = origin_of(ModelConfig(name="resnet18"), "xaiprune prune model=resnet18")
    assert (named.license, named.base_model) == ("apache-2.0", "timm/resnet18.a1_in1k")
    text = (save_pruned(small, tmp_path / "with", **arguments, origin=named) / "card.md").read_text()
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert metadata["base_model"] == "timm/resnet18.a1_in1k"
    assert metadata["license"] == "apache-2.0"
    assert "```bash\nxaiprune prune model=resnet18\n```" in text
    without = yaml.safe_load((folder / "card.md").read_text().split("---\n")[1])
    assert (without["license"], without.get("base_model")) == ("unknown", None)
    for own in (ModelConfig(name="resnet18", checkpoint="mine.pth"), ModelConfig(name="x", pretrained=False)):
        assert origin_of(own) == Origin()
    assert origin_of(ModelConfig(name="hf", path="org/name")).base_model == "org/name"
    assert origin_of(ModelConfig(name="hf", path=str(tmp_path))).base_model is None


@pytest.fixture
def saved(tmp_path):
    model = timm.create_model("vit_tiny_patch16_224", **ARGUMENTS).eval()
    units = find_units(model, "neurons")
    plan = random_plan(units, 0.5)
    small = remove_with_report(model, plan, units).model
    arguments = {"architecture": "vit_tiny_patch16_224", "kwargs": ARGUMENTS, "plan": plan}
    return save_pruned(small, tmp_path / "net", **arguments), small, arguments


def test_saving_again_replaces(saved):
    folder, small, arguments = saved
    with torch.no_grad():
        small.head.bias += 1
    save_pruned(small, folder, **arguments)
    assert torch.equal(load_pruned(folder).head.bias, small.head.bias)
    assert os.listdir(folder.parent) == ["net"]


def test_a_folder_with_other_things_is_left_alone(tmp_path, saved):
    _, small, arguments = saved
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("irreplaceable")
    with pytest.raises(XaipruneError, match="holds other things; name a new folder"):
        save_pruned(small, other, **arguments)
    assert (other / "thesis.tex").read_text() == "irreplaceable"
    (tmp_path / "file").write_text("")
    with pytest.raises(XaipruneError, match="is a file"):
        save_pruned(small, tmp_path / "file", **arguments)


def test_nothing_is_written_if_it_would_not_load(tmp_path, saved):
    _, small, arguments = saved
    with pytest.raises(XaipruneError, match="other modules than its architecture"):
        save_pruned(small, tmp_path / "wrong", **{**arguments, "kwargs": {**ARGUMENTS, "depth": 3}})
    assert os.listdir(tmp_path) == ["net"]


def test_a_failed_write_keeps_what_was_there(saved):
    folder = saved[0]
    before = (folder / "card.md").read_text()
    with pytest.raises(FileNotFoundError), replacing_folder(folder) as unfinished:
        os.remove(unfinished / "card.md")
    assert (folder / "card.md").read_text() == before
    assert os.listdir(folder.parent) == [folder.name]


def damage_truncated(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def edit(folder, change):
    content = json.loads((folder / "plan.json").read_text())
    change(content)
    (folder / "plan.json").write_text(json.dumps(content))


DAMAGES = [
    (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
    (lambda folder: (folder / "plan.json").unlink(), "has no plan.json"),
    (damage_truncated, "model.safetensors is damaged"),
    (lambda folder: (folder / "plan.json").write_text("{"), "plan.json cannot be read"),
    (lambda folder: edit(folder, lambda c: c.update(schema="xaiprune/pruned/2")), "has schema"),
    (lambda folder: edit(folder, lambda c: c.pop("sizes")), "is not complete"),
    (lambda folder: edit(folder, lambda c: c.update(architecture="resnet_9000")), "resnet_9000"),
    (lambda folder: edit(folder, lambda c: c["sizes"].update(head={"forward": 3})), "is not a size of this"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=[message for _, message in DAMAGES])
def test_damaged_folders(saved, damage, message):
    folder = saved[0]
    damage(folder)
    with pytest.raises(XaipruneError, match=message) as error:
        load_pruned(folder)
    assert "\n" not in str(error.value)


def test_no_folder(tmp_path):
    with pytest.raises(XaipruneError, match="no such folder"):
        load_pruned(tmp_path / "nowhere")


def test_pruning_a_pruned_network_again(saved, tmp_path):
    folder, _, _ = saved
    model = load_pruned(folder)
    units = find_units(model, "neurons+heads")
    plan = random_plan(units, 0.3)
    result = remove_with_report(model, plan, units)
    name, kwargs, replaced = architecture_of(folder)
    again = save_pruned(
        result.model, tmp_path / "twice", architecture=name, kwargs=kwargs, plan=plan, replaced=replaced
    )
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_pruned(again)(images), result.model(images))
