"""Pruned language models as folders: xaiprune opens all of them, transformers alone those of equal widths."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.attribution.test_transformers import TEXT, build, transformers
from xaiprune.errors import XaipruneError
from xaiprune.forward import logits_of, random_inputs, run
from xaiprune.pruning import Plan, compensate, load_pruned, make_plan, remove, save_pruned
from xaiprune.units import default_example, find_units


def pruned(
    name: str, scope: str = "layer", method: str = "none", kind: str = "neurons"
) -> tuple[nn.Module, Plan]:
    model = build(TEXT[name], "sdpa").float()
    units = find_units(model, kind)
    generator = torch.Generator().manual_seed(0)
    scores = {unit.name: torch.rand(unit.units, generator=generator) for unit in units}
    plan = make_plan(scores, units, 0.4, scope=scope)
    texts = random_inputs(model, default_example(model), 10)
    return remove(compensate(model, plan, units, texts, method, sequential=False), plan, units), plan


def same(first: nn.Module, second: nn.Module) -> None:
    inputs = random_inputs(first, default_example(first), 2)
    with torch.no_grad():
        torch.testing.assert_close(logits_of(run(first, inputs)), logits_of(run(second, inputs)))


@pytest.mark.parametrize("name", ["Llama", "Phi-3", "GPT-2", "T5", "BERT"])
def test_a_folder_opens_with_xaiprune(name: str, tmp_path: Path) -> None:
    model, plan = pruned(name, "global", "linear")
    same(load_pruned(save_pruned(model, tmp_path / "small", architecture="hf", plan=plan)), model)


@pytest.mark.parametrize(
    ("name", "method"), [("Llama", "none"), ("Llama", "linear"), ("GPT-2", "linear"), ("OPT", "mean")]
)
def test_equal_widths_open_with_transformers_alone(name: str, method: str, tmp_path: Path) -> None:
    model, plan = pruned(name, "layer", method)
    folder = save_pruned(model, tmp_path / "small", architecture="hf", plan=plan)
    opened = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    assert type(opened) is type(model)
    same(opened, model)
    same(load_pruned(folder), model)


def test_unequal_widths_are_xaiprunes_alone(tmp_path: Path) -> None:
    model, plan = pruned("Llama", "global")
    assert len({len(layer.mlp.gate_proj.weight) for layer in model.model.layers}) > 1
    folder = save_pruned(model, tmp_path / "small", architecture="hf", plan=plan)
    assert not (folder / "config.json").exists()
    same(load_pruned(folder), model)


def without_a_group(name: str) -> tuple[nn.Module, Plan]:
    """The network without two heads that share their keys, and the plan."""
    model = build(TEXT[name], "sdpa").float()
    units = find_units(model, "heads")
    scores = {unit.name: torch.arange(4.0) + 4 * number for number, unit in enumerate(units)}
    plan = make_plan(scores, units, 0.25)
    assert plan.removed[units[0].name] == (0, 1)
    return remove(model, plan, units), plan


def test_heads_are_kept_where_the_class_does_not_read_them_from_its_configuration(tmp_path: Path) -> None:
    model, plan = without_a_group("Llama")
    same(load_pruned(save_pruned(model, tmp_path / "small", architecture="hf", plan=plan)), model)
    model, plan = without_a_group("Phi-3")
    with pytest.raises(XaipruneError, match="fewer heads than the configuration says"):
        save_pruned(model, tmp_path / "other", architecture="hf", plan=plan)
