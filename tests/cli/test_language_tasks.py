"""Language models on the command line: pruned and searched; what is not done for texts is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

import xaiprune as xp
from tests.models.test_language import save
from xaiprune.cli.__main__ import main

STUDY = ("study.name=text", "study.n_trials=1", "study.presets=[auto]")


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of a tiny network and a story."""
    monkeypatch.chdir(tmp_path)
    Path("story.txt").write_text("Once there was a cat . there was a a cat Once . " * 40)
    return [
        *("model=hf", f"model.path={save(tmp_path / 'model')}", "data=text", "data.path=story.txt"),
        *("data.window=8", "data.reference_windows=6", "data.validation_windows=6", "data.test_windows=6"),
        *("prune.rate=0.25", "device=cpu"),
    ]


def test_a_smaller_network_is_kept(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", *typed, "output_dir=small"]) == 0
    printed = capsys.readouterr().out
    assert "perplexity" in printed
    assert "8 tokens" in printed
    assert sum(p.numel() for p in xp.load_pruned("small").parameters()) < sum(
        p.numel() for p in xp.open_language_model("model").model.parameters()
    )


def test_a_search_ends_in_a_recipe_that_prunes(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *typed, *STUDY]) == 0
    assert "texts are not compared" in capsys.readouterr().out
    assert main(["prune", *typed, "recipe=studies/text/best.yaml", "output_dir=small"]) == 0
    assert main(["report", "study.name=text"]) == 0
    assert main(["export", "study.name=text", "output_dir=exported"]) == 0
    capsys.readouterr()
    assert main(["compare", "study.name=text"]) == 2
    assert "texts are not compared yet" in capsys.readouterr().err
