"""Relevance of a text's tokens for what a language model says, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

from tests.models.test_language import TEXT, refusal, save
from xaiprune.attribution import TextAttribution, attribute_text
from xaiprune.attribution.lrp import relevance_at
from xaiprune.attribution.text import ATTNLRP, page
from xaiprune.models import LanguageModel, open_language_model
from xaiprune.report.tokens import draw_tokens

Opened = Callable[..., LanguageModel]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Opens a tiny network of a family, whose weights are large enough to say something."""

    def make(name: str = "Llama", cls: str = "ForCausalLM", **sizes: Any) -> LanguageModel:
        torch.manual_seed(0)
        found = open_language_model(save(tmp_path / f"{name}{cls}", name, cls, **sizes))
        generator = torch.Generator().manual_seed(1)
        for parameter in found.model.parameters():
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
        return found

    return make


def by_definition(model: LanguageModel, ids: Tensor, pairs: list[tuple[int, int, float]]) -> Tensor:
    with torch.no_grad():
        initial = torch.zeros_like(model.model(ids[None]).logits)
    for position, token, weight in pairs:
        initial[0, position, token] += weight
    return relevance_at(model.model, ids[None], initial, ATTNLRP, ["input"])["input"][0]


def assert_near(found: Any, expected: Tensor) -> None:
    torch.testing.assert_close(torch.tensor(found).double(), expected.double(), rtol=1e-3, atol=1e-4)


def test_a_text_explains_its_own_tokens(opened: Opened) -> None:
    model = opened()
    ids = model.encode(TEXT)
    (answer,) = attribute_text(model, TEXT).answers
    pairs = [(t, int(token), 1.0) for t, token in enumerate(ids[1:])]
    assert_near(answer.relevance, by_definition(model, ids, pairs))
    with torch.no_grad():
        logits = model.model(ids[None]).logits[0]
    assert answer.logit == pytest.approx(sum(float(logits[t, token]) for t, token, _ in pairs), rel=1e-4)
    assert answer.probability is None
    assert answer.relevance[-1] == 0  # nothing comes after the last


def test_a_target_and_what_it_is_compared_with(opened: Opened) -> None:
    model = opened()
    ids, last = model.encode("Once there was a"), 3
    cat, stop = model.token_id("cat"), model.token_id(".")
    found = attribute_text(model, "Once there was a", target="cat")
    assert_near(found.answers[0].relevance, by_definition(model, ids, [(last, cat, 1.0)]))
    with torch.no_grad():
        chances = model.model(ids[None]).logits[0, last].softmax(-1)
    assert found.answers[0].probability == pytest.approx(float(chances[cat]), rel=1e-4)
    both = attribute_text(model, "Once there was a", target="cat", against=".")
    assert both.answers[0].text == "cat instead of ."
    assert_near(both.answers[0].relevance, by_definition(model, ids, [(last, cat, 1.0), (last, stop, -1.0)]))


def test_each_token_that_is_generated(opened: Opened) -> None:
    model = opened()
    found = attribute_text(model, "Once there", generate=3)
    ids, written = model.encode("Once there"), []
    for _ in range(3):
        with torch.no_grad():
            logits = model.model(torch.cat([ids, torch.tensor(written, dtype=ids.dtype)])[None]).logits[0, -1]
        logits[model.tokenizer.eos_token_id] = -torch.inf  # so many tokens were asked for
        written.append(int(logits.argmax()))
    whole = torch.cat([ids, torch.tensor(written)])
    assert found.tokens == tuple(model.tokens(whole))
    assert found.prompt == len(ids)
    for place, (answer, token) in enumerate(zip(found.answers, written, strict=True), len(ids)):
        assert_near(answer.relevance[:-1], by_definition(model, whole[:-1], [(place - 1, token, 1.0)]))
        assert not any(answer.relevance[place:])


def test_encoder_decoders_read_the_text_and_their_answer(opened: Opened) -> None:
    sizes = {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 8,
        "num_layers": 1,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    }
    model = opened("T5", "ForConditionalGeneration", **sizes)
    found = attribute_text(model, TEXT, generate=2)
    read = len(model.encode(TEXT))
    assert (len(found.tokens), found.prompt, len(found.answers)) == (read + 2, read, 2)
    first, second = found.answers
    assert not any(first.relevance[read:])
    assert second.relevance[read] != 0
    assert second.relevance[read + 1] == 0
    (likeliest,) = attribute_text(model, TEXT).answers
    assert likeliest.relevance[:read] == pytest.approx(first.relevance[:read], abs=1e-5)


def test_classifiers_explain_a_class(opened: Opened) -> None:
    sizes = {"num_labels": 3, "id2label": {0: "bad", 1: "middling", 2: "good"}}
    model = opened("Bert", "ForSequenceClassification", **sizes)
    found = attribute_text(model, TEXT, target="good")
    ids = model.encode(TEXT)
    initial = torch.tensor([[0.0, 0.0, 1.0]])
    expected = relevance_at(model.model, ids[None], initial, ATTNLRP, ["input"])["input"][0]
    assert_near(found.answers[0].relevance, expected)
    with torch.no_grad():
        likeliest = ("bad", "middling", "good")[int(model.model(ids[None]).logits.argmax())]
    assert attribute_text(model, TEXT).answers[0].text == likeliest
    assert "no class" in refusal(lambda: attribute_text(model, TEXT, target="splendid"))
    assert "generates nothing" in refusal(lambda: attribute_text(model, TEXT, generate=1))


def test_refusals(opened: Opened) -> None:
    model = opened(max_position_embeddings=8)
    assert "is empty" in refusal(lambda: attribute_text(model, " "))
    assert "has 9 tokens" in refusal(lambda: attribute_text(model, TEXT, generate=2))
    assert "is 2 tokens" in refusal(lambda: attribute_text(model, TEXT, target="cats"))
    assert "set one of them" in refusal(lambda: attribute_text(model, TEXT, target="cat", generate=1))
    assert "against needs target" in refusal(lambda: attribute_text(model, TEXT, against="cat"))
    assert "explains no other" in refusal(lambda: attribute_text(model, "Once"))


def test_it_shows_itself(opened: Opened, tmp_path: Path) -> None:
    model = opened()
    found = attribute_text(model, "Once there", generate=1)
    html = page([found], "Relevance <of> tokens")
    assert found._repr_html_() in html
    assert "&lt;of&gt;" in html
    assert "http" not in html
    assert json.loads(json.dumps(found.to_dict()))["tokens"] == list(found.tokens)
    assert draw_tokens([found], tmp_path / "tokens.png").read_bytes().startswith(b"\x89PNG")


def test_colours_say_sign_and_size() -> None:
    from xaiprune.attribution import Answer

    answer = Answer("x", 1.0, None, (2.0, -1.0, 0.0))
    html = TextAttribution("m", "c", ("<a>", " b", " c"), 3, (answer,))._repr_html_()
    assert 'rgba(213, 94, 0, 0.600)" title="2">&lt;a&gt;' in html
    assert 'rgba(0, 114, 178, 0.300)" title="-1"> b' in html


def test_a_real_story(shared_data: Path) -> None:
    """What comes after a name that was given is explained by it."""
    model = open_language_model(shared_data / "weights" / "llama_stories260k")
    story = "Once upon a time, there was a little girl named Lily. She loved to play outside with her"
    found = attribute_text(model, story, generate=2)
    assert [answer.text for answer in found.answers] == ["friend", "s"]
    strongest = max(range(len(found.tokens)), key=lambda n: found.answers[0].relevance[n])
    assert found.tokens[strongest] == " her"
