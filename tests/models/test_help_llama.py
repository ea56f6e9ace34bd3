"""The small language model: trained on the spot, deterministic, cached, and opened like any other."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from xaiprune.config import DataConfig, ModelConfig
from xaiprune.data.sources.python_help import help_texts
from xaiprune.errors import XaipruneError
from xaiprune.models import fingerprint, help_llama, load, setup

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

QUICK = replace(help_llama.RECIPE, vocabulary=300, width=16, neurons=24, blocks=1, steps=6, batch=2)
NETWORK = ModelConfig(name="help_llama")


@pytest.fixture
def help_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    """A recipe of a few steps, and an empty cache."""
    monkeypatch.setattr(help_llama, "RECIPE", QUICK)
    return DataConfig(source="python_help", window=32, reference_windows=4, cache_dir=str(tmp_path))


def test_model_and_text_just_work_together(help_data: DataConfig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="xaiprune"):
        opened = setup(NETWORK, help_data, device="cpu")
    assert "training help_llama on the help texts of Python, once" in caplog.text
    assert not opened.model.training
    assert opened.data.reference.tensor().shape == (4, 32)
    assert opened.model(opened.data.test.tensor([0])).logits.shape == (1, 32, 300)


def test_the_trained_network_is_found_again(help_data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(NETWORK, cache=help_data.cache_dir)
    threads = torch.get_num_threads()

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(help_llama, "train_language", refuse)
    assert fingerprint(load(NETWORK, cache=help_data.cache_dir)) == fingerprint(first)
    assert torch.get_num_threads() == threads
    monkeypatch.setattr(help_llama, "RECIPE", replace(QUICK, learning_rate=0.1))
    with pytest.raises(AssertionError, match="trained again"):
        load(NETWORK, cache=help_data.cache_dir)


def test_training_is_the_same_twice_and_learns() -> None:
    text = help_texts()["reference"][:20000]
    recipe = replace(QUICK, steps=40, window=16, batch=8)
    (first, tokenizer), (second, other) = (help_llama.train_language(text, recipe, seed=3) for _ in range(2))
    assert fingerprint(first) == fingerprint(second)
    assert tokenizer.get_vocab() == other.get_vocab()
    assert fingerprint(help_llama.train_language(text, recipe, seed=4)[0]) != fingerprint(first)
    untrained, _ = help_llama.train_language(text, replace(recipe, learning_rate=1e-12), seed=3)
    ids = torch.tensor(tokenizer(text)["input_ids"][:800]).view(50, 16)
    with torch.no_grad():
        assert first(ids, labels=ids).loss < untrained(ids, labels=ids).loss - 1


def test_it_reads_no_more_than_it_was_trained_on(help_data: DataConfig) -> None:
    with pytest.raises(
        XaipruneError, match=r"data.window=129 is longer than the network reads \(128 tokens\)"
    ):
        setup(NETWORK, replace(help_data, window=129), device="cpu")
    with pytest.raises(
        XaipruneError, match=r"model=help_llama reads text: set data=text .* data=python_help"
    ):
        setup(NETWORK, DataConfig(), device="cpu")


def test_without_transformers_one_line_says_so(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from xaiprune.cli.__main__ import main\n"
        "sys.exit(main(['demo', 'language']))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert "pip install 'xaiprune[language]'" in found.stderr
