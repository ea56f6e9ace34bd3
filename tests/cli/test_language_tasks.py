"""Language models on the command line: pruned and searched; texts are compared by both measures."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

import xaiprune as xp
from tests.models.test_language import save
from xaiprune.cli.__main__ import main
from xaiprune.models import help_llama

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
    shown = capsys.readouterr().out
    assert re.search(
        r"\nwindows     6 reference, 6 validation, 6 test; 8 tokens each, of a vocabulary of \d+\n", shown
    )
    assert "6 test windows of 8 tokens, next-token top-1 and perplexity" in shown
    assert "exact sign test over windows" in " ".join(shown.split())
    assert "perplexity" in pd.read_csv("studies/text/comparison.csv").columns
    assert main(["prune", *typed, "recipe=studies/text/best.yaml", "output_dir=small"]) == 0
    assert main(["report", "study.name=text"]) == 0
    assert main(["export", "study.name=text", "output_dir=exported"]) == 0
    capsys.readouterr()
    page = Path("studies/text/report.html").read_text()
    assert "6 test windows of 8 tokens" in page
    assert '<th class="n">perplexity</th>' in page
    with_peers = ["compare.presets=[]", "compare.criteria=[]", "compare.peers=[flap,wanda,tp_group_taylor]"]
    assert main(["compare", "study.name=text", *with_peers]) == 0
    shown = capsys.readouterr().out
    assert all(peer in shown for peer in ("FLAP", "Wanda-sp", "left out: tp_group_taylor"))


def test_a_search_minimises_perplexity(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *typed, "objective=perplexity", "study.name=text", "study.n_trials=2"]) == 0
    shown = capsys.readouterr().out
    assert "objective   perplexity" in shown
    frame = pd.read_csv("studies/text/comparison.csv")
    assert frame.perplexity.notna().all()
    assert main(["report", "study.name=text"]) == 0
    assert "perplexity at 0.25 removed" in Path("studies/text/report.html").read_text()
    trials = pd.read_csv("studies/text/trials.csv")
    best = trials.loc[trials.value.idxmin()]
    assert best.value_low < best.value < best.value_high
    assert trials.best.iloc[-1] == pytest.approx(trials.value.min())
    assert main(["search", *typed, "objective=perplexity", "study.name=text", "study.n_trials=2"]) == 0
    assert "next tokens, perplexity" in capsys.readouterr().out  # the dense network's, as it was stored


def test_the_network_that_is_trained_on_the_spot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = replace(help_llama.RECIPE, vocabulary=300, width=16, neurons=24, blocks=1, steps=4, batch=2)
    monkeypatch.setattr(help_llama, "RECIPE", quick)
    monkeypatch.setenv("XAIPRUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    network = ["model=help_llama", "device=cpu"]
    few = ["data=python_help", "data.window=8", "data.reference_windows=4", "data.test_windows=4"]
    assert main(["prune", *network, *few, "prune.rate=0.25", "output_dir=small"]) == 0
    assert main(["evaluate", *network, *few, "model.pruned=small"]) == 0
    assert "(4 windows of 8) among 300 classes" in capsys.readouterr().out
    relevance = {}
    for name, pruned in (("dense", []), ("pruned", ["model.pruned=small"])):
        assert main(["attribute", *network, *pruned, "prompt=The function", f"output_dir={name}"]) == 0
        (text,) = json.loads(Path(name, "tokens.json").read_text())
        relevance[name] = text["answers"][0]["relevance"]
    assert relevance["dense"] != relevance["pruned"]  # which is what was asked for
    assert main(["train", *network, "data=python_help"]) == 2
    assert "model=help_llama is trained when it is first used" in capsys.readouterr().err
