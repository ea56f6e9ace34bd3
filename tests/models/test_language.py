"""Opening language models: what is found, and one line for everything that cannot be used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from xaiprune.config import DataConfig, ModelConfig
from xaiprune.errors import XaipruneError
from xaiprune.forward import logits
from xaiprune.models import load, open_language_model, setup

transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed (pip install xaiprune[language])"
)

WORDS = ["<s>", "</s>", "<unk>", "▁Once", "▁there", "▁was", "▁a", "▁cat", ",", ".", "▁", "s"]
SIZES = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 8}
TEXT = "Once there was a cats."


def tokenizer() -> Any:
    """A word-piece vocabulary of twelve, spaces spelled as SentencePiece does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    merges, words = [], list(WORDS)
    for word in WORDS[3:8]:
        for end in range(2, len(word) + 1):
            merges.append((word[: end - 1], word[end - 1]))
            words += [word[:end], word[end - 1]]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(words))}
    inner = Tokenizer(models.BPE(vocabulary, list(dict.fromkeys(merges)), unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def save(folder: Path, name: str = "Llama", cls: str = "ForCausalLM", **sizes: Any) -> Path:
    """A tiny network of that class and the tokenizer, as transformers saves them."""
    config = getattr(transformers, f"{name}Config")(**{**SIZES, "vocab_size": 64, **sizes})
    getattr(transformers, f"{name}{cls}")(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(XaipruneError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_opened_as_transformers_saved_it(tmp_path: Path) -> None:
    opened = open_language_model(save(tmp_path, max_position_embeddings=20))
    assert (opened.head, opened.context) == ("causal", 20)
    assert not opened.model.training
    ids = opened.encode(TEXT)
    assert opened.tokens(ids) == [" Once", " there", " was", " a", " cat", "s", "."]
    with torch.no_grad():
        own = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)(ids[None])
        assert torch.equal(opened.model(ids[None]).logits, own.logits)
    by_configuration = load(ModelConfig(name="hf", path=str(tmp_path)))
    assert type(by_configuration) is type(opened.model)


@pytest.mark.parametrize(
    ("name", "cls", "head", "context"),
    [
        ("GPT2", "LMHeadModel", "causal", 1024),
        ("T5", "ForConditionalGeneration", "encoder_decoder", None),
        ("Bert", "ForSequenceClassification", "classifier", 512),
        ("Roberta", "ForSequenceClassification", "classifier", 510),
    ],
)
def test_heads_and_contexts(tmp_path: Path, name: str, cls: str, head: str, context: int | None) -> None:
    opened = open_language_model(save(tmp_path, name, cls))
    assert (opened.head, opened.context) == (head, context)


def test_a_target_is_a_single_token(tmp_path: Path) -> None:
    opened = open_language_model(save(tmp_path))
    vocabulary = opened.tokenizer.get_vocab()
    assert opened.token_id("cat") == opened.token_id(" cat") == vocabulary["▁cat"]
    assert opened.token_id(",") == vocabulary[","]
    assert opened.token_id("s") == vocabulary["s"]
    assert "is 2 tokens" in refusal(lambda: opened.token_id("cats"))


def test_texts_that_cannot_be_read(tmp_path: Path) -> None:
    opened = open_language_model(save(tmp_path, max_position_embeddings=6))
    assert "is empty" in refusal(lambda: opened.encode("  "))
    assert "has 7 tokens" in refusal(lambda: opened.encode(TEXT))


def test_folders_that_are_no_language_model(tmp_path: Path) -> None:
    def path(name: str) -> str:
        return refusal(lambda: open_language_model(tmp_path / name))

    assert "no such folder" in path("nowhere")
    (tmp_path / "empty").mkdir()
    assert "neither config.json nor a GGUF file" in path("empty")
    (tmp_path / "several").mkdir()
    for name in ("a", "b"):
        (tmp_path / "several" / f"{name}.gguf").write_bytes(b"GGUF")
    assert "has 2 GGUF files (a.gguf, b.gguf)" in path("several")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.gguf").write_bytes(b"nothing")
    assert "cannot open" in path("broken")
    assert "model.path=FOLDER" in refusal(lambda: load(ModelConfig(name="hf")))


def test_models_without_the_right_head(tmp_path: Path) -> None:
    save(tmp_path / "base", cls="Model")
    assert "is LlamaModel, which has no head" in refusal(lambda: open_language_model(tmp_path / "base"))
    file = tmp_path / "base" / "config.json"
    config = json.loads(file.read_text()) | {"architectures": ["LlamaForCausalLM"]}
    file.write_text(json.dumps(config))
    assert "has no weights for lm_head.weight" in refusal(lambda: open_language_model(tmp_path / "base"))
    save(tmp_path / "masked", "Bert", "ForMaskedLM")
    assert "BertForMaskedLM" in refusal(lambda: open_language_model(tmp_path / "masked"))


def test_mixtures_of_experts_are_refused(tmp_path: Path) -> None:
    save(tmp_path, "Mixtral", num_key_value_heads=1, num_local_experts=2)
    assert "mixture of 2 experts" in refusal(lambda: open_language_model(tmp_path))


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    save(tmp_path, vocab_size=8)
    assert "belongs to another model" in refusal(lambda: open_language_model(tmp_path))
    (tmp_path / "tokenizer.json").unlink()
    assert "no tokenizer" in refusal(lambda: open_language_model(tmp_path))


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refusal(lambda: open_language_model("no-such/model"))
    assert "offline?" in message
    assert "model.path=FOLDER" in message


def test_without_transformers_one_line_says_so() -> None:
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from xaiprune.models.language import open_language_model\n"
        "try: open_language_model('.')\n"
        "except ValueError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'xaiprune[language]'" in found.stdout
    assert found.stdout.count("\n") == 1


def test_nothing_imports_transformers_before_it_is_used() -> None:
    code = """
import sys, xaiprune.models, xaiprune.cli.attribute
print({"transformers", "tokenizers"} & set(sys.modules))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_a_real_one(shared_data: Path) -> None:
    opened = open_language_model(shared_data / "weights" / "llama_stories260k")
    assert opened.tokens(opened.encode("Once upon a time"))[1:] == [" Once", " upon", " a", " time"]


@pytest.mark.parametrize(
    ("name", "cls", "sizes"),
    [
        ("Bert", "ForSequenceClassification", {}),
        ("T5", "ForConditionalGeneration", {"d_model": 16, "d_ff": 8, "d_kv": 8, "num_layers": 1}),
    ],
)
def test_windows_of_text_are_for_causal_models(tmp_path: Path, name: str, cls: str, sizes: Any) -> None:
    (tmp_path / "story.txt").write_text("Once there was a cat . " * 40)
    folder = save(tmp_path / "model", name, cls, **sizes)
    data = DataConfig(source="text", path=str(tmp_path / "story.txt"), window=8)
    said = refusal(lambda: setup(ModelConfig(name="hf", path=str(folder)), data, device="cpu"))
    assert said.startswith(
        f"there is no data source for encoder-decoders, as model ({name}{cls}) is one; prune it from Python"
        if name == "T5"
        else f"data=text is for models that foretell the next token; model is {name}{cls}"
    )


def test_an_encoder_decoder_needs_both_texts() -> None:
    config = transformers.T5Config(vocab_size=64, d_model=16, d_ff=8, d_kv=8, num_layers=1, num_heads=2)
    model = transformers.T5ForConditionalGeneration(config).eval()
    said = refusal(lambda: logits(model, torch.ones(2, 5, dtype=torch.int64)))
    assert "give a dict with input_ids and decoder_input_ids" in said
