"""Relevance of a language model's units for a text, and the texts of a unit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

from tests.models.test_language import TEXT, refusal, save
from xaiprune.attribution import attribute, attribute_text, attribute_text_units, collect_unit_texts
from xaiprune.attribution.lrp import relevance_at
from xaiprune.attribution.targets import TokenTargets
from xaiprune.attribution.text import ATTNLRP, page
from xaiprune.models import LanguageModel, open_language_model
from xaiprune.units import find_units

NEURON, HEAD = "model.layers.0.mlp.gate_proj", "model.layers.0.self_attn"
READ_AT = {NEURON: "model.layers.0.mlp.down_proj", HEAD: "model.layers.0.self_attn.o_proj"}
WIDTH = 8  # channels of a head


@pytest.fixture
def model(tmp_path: Path) -> LanguageModel:
    torch.manual_seed(0)
    found = open_language_model(save(tmp_path / "model"))
    generator = torch.Generator().manual_seed(1)
    for parameter in found.model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return found


@pytest.fixture
def windows() -> Tensor:
    return torch.randint(3, 12, (7, 10), generator=torch.Generator().manual_seed(2))


def next_tokens(model: LanguageModel, ids: Tensor) -> Tensor:
    """Where relevance starts: every next token of one window."""
    with torch.no_grad():
        initial = torch.zeros_like(model.model(ids[None]).logits)
    initial[0, torch.arange(len(ids) - 1), ids[1:]] = 1
    return initial


def by_definition(model: LanguageModel, ids: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer -> activation and relevance (T, channels) of one window."""
    found = {}
    for layer, tap in READ_AT.items():
        kept: list[Tensor] = []
        module = model.model.get_submodule(tap)
        handle = module.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0][0].clone()))
        with torch.no_grad():
            model.model(ids[None])
        handle.remove()
        relevance = relevance_at(model.model, ids[None], next_tokens(model, ids), ATTNLRP, [tap], "input")
        found[layer] = (kept[0], relevance[tap][0])
    return found


def test_relevance_of_every_unit(model: LanguageModel) -> None:
    """As `attribute` has it for the same pair of position and token."""
    found = attribute_text_units(model, "Once there was a", target="cat")
    ids, units = model.encode("Once there was a"), find_units(model.model, "neurons+heads")
    pair = (torch.tensor([0]), torch.tensor([3]), torch.tensor([model.token_id("cat")]), torch.ones(1))
    expected = attribute(model.model, ids[None], TokenTargets(*pair, 1), units, ATTNLRP)
    (answer,) = found.answers
    assert set(answer.relevance) == {NEURON, HEAD} == set(found.kinds)
    for layer, values in answer.relevance.items():
        torch.testing.assert_close(values.float(), expected.sums[layer][0], rtol=1e-4, atol=1e-6)
    tokens = attribute_text(model, "Once there was a", target="cat").answers[0]
    assert (answer.text, answer.logit, answer.probability) == (tokens.text, tokens.logit, tokens.probability)


def test_each_generated_token_has_its_own_units(model: LanguageModel) -> None:
    found = attribute_text_units(model, "Once there", generate=2)
    first, second = (answer.relevance[NEURON] for answer in found.answers)
    assert not torch.allclose(first, second)
    rows = found.rows()
    assert len(rows) == 2 * sum(len(values) for values in found.answers[0].relevance.values())
    assert rows[0]["relevance"] == float(found.answers[0].relevance[rows[0]["layer"]][0])
    (strongest, value), *_ = found.answers[0].top(3)
    layer, _, unit = strongest.rpartition(":")
    assert value == float(found.answers[0].relevance[layer][int(unit)])
    assert abs(value) == max(float(v.abs().max()) for v in found.answers[0].relevance.values())
    assert strongest in found._repr_html_()


T5 = {"d_model": 16, "d_kv": 8, "d_ff": 8, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}


@pytest.mark.parametrize(
    ("name", "cls", "sizes", "layers"),
    [
        ("GPT2", "LMHeadModel", {"n_embd": 16, "n_layer": 1, "n_head": 2, "eos_token_id": 2}, 2),
        ("T5", "ForConditionalGeneration", T5, 5),  # two MLPs, two self-attentions and one across
        ("Bert", "ForSequenceClassification", {"num_labels": 3}, 3),  # its pooler has neurons, too
    ],
)
def test_other_heads(tmp_path: Path, name: str, cls: str, sizes: dict[str, Any], layers: int) -> None:
    found = attribute_text_units(
        open_language_model(save(tmp_path / name, name, cls, **sizes)), "Once there was"
    )
    (answer,) = found.answers
    assert len(answer.relevance) == layers
    assert all(values.isfinite().all() and values.abs().max() > 0 for values in answer.relevance.values())


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_texts_of_a_unit(model: LanguageModel, windows: Tensor, batch_size: int) -> None:
    """All windows, ordered by the peak of relevance and of activation that the definitions give."""
    units = [f"{NEURON}:5", f"{HEAD}:1"]
    found = collect_unit_texts(model, windows, units, count=7, batch_size=batch_size)
    each = [by_definition(model, ids) for ids in windows]
    for texts, (layer, channels) in zip(
        found, ((NEURON, [5]), (HEAD, [8, 9, 10, 11, 12, 13, 14, 15])), strict=True
    ):
        relevance = torch.stack([one[layer][1][:, channels].sum(1) for one in each])
        active = torch.stack([one[layer][0][:, channels] for one in each])
        active = active[..., 0] if len(channels) == 1 else active.norm(dim=-1)
        for excerpts, values, sizes in (
            (texts.most_relevant, relevance, relevance),
            (texts.most_active, active, active.abs()),
        ):
            peaks, places = sizes.max(1)
            assert [one.window for one in excerpts] == peaks.argsort(descending=True).tolist()
            for one in excerpts:
                assert one.position == int(places[one.window])
                assert one.values == pytest.approx(values[one.window].tolist(), rel=1e-3, abs=1e-6)
                assert one.peak == pytest.approx(one.values[one.position])
                assert one.tokens == tuple(model.tokens(windows[one.window]))
    assert [texts.windows for texts in found] == [7, 7]


def test_windows_stream(model: LanguageModel, windows: Tensor) -> None:
    """No more windows are taken than a batch and the one that closes it, and only the best are kept."""
    taken, read = 0, []

    def corpus() -> Iterator[Tensor]:
        nonlocal taken
        for ids in windows.repeat(3, 1):
            taken += 1
            yield ids

    handle = model.model.register_forward_pre_hook(lambda *_: read.append(taken))
    (found,) = collect_unit_texts(model, corpus(), [f"{NEURON}:0"], count=2, batch_size=4)
    handle.remove()
    assert found.windows == 21
    assert len(found.most_relevant) == 2
    assert sorted(set(read)) == [0, 5, 9, 13, 17, 21]  # units are looked for before the first
    whole = collect_unit_texts(model, windows, [f"{NEURON}:0"], count=1)[0]
    assert found.most_relevant[0].window == whole.most_relevant[0].window  # of equal ones the first


def test_windows_of_different_lengths(model: LanguageModel, windows: Tensor) -> None:
    mixed = [windows[0], windows[1, :4], windows[2]]
    (found,) = collect_unit_texts(model, mixed, [f"{NEURON}:3"], count=3)
    assert {one.window: len(one.tokens) for one in found.most_active} == {0: 10, 1: 4, 2: 10}


def test_they_show_themselves(model: LanguageModel, windows: Tensor) -> None:
    (texts,) = collect_unit_texts(model, windows, [f"{HEAD}:0"], count=2)
    html = page([texts, attribute_text_units(model, TEXT)], "Units")
    assert texts._repr_html_() in html
    assert html.count("<!doctype html>") == 1
    assert "http" not in html
    written = json.loads(json.dumps(texts.to_dict()))
    assert written["unit"] == f"{HEAD}:0"
    assert written["most_relevant"][0]["values"] == list(texts.most_relevant[0].values)


@pytest.mark.parametrize("name", ["nowhere:1", f"{NEURON}:8", f"{NEURON}", f"{NEURON}:x"])
def test_units_that_there_are_not(model: LanguageModel, windows: Tensor, name: str) -> None:
    message = refusal(lambda: collect_unit_texts(model, windows, [name]))
    assert f"'{name}'" in message
    assert "LAYER:NUMBER" in message


def test_refusals(model: LanguageModel, windows: Tensor, tmp_path: Path) -> None:
    unit = [f"{NEURON}:0"]
    assert "no windows" in refusal(lambda: collect_unit_texts(model, [], unit))
    assert "two or more" in refusal(lambda: collect_unit_texts(model, windows[:, :1], unit))
    classifier = open_language_model(save(tmp_path / "bert", "Bert", "ForSequenceClassification"))
    assert "foretell" in refusal(lambda: collect_unit_texts(classifier, windows, unit))
