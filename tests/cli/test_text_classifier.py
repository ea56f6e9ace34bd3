"""A classifier of text on the command line: attributed, pruned, searched and compared by accuracy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

import xaiprune as xp
from tests.models import classifier
from xaiprune.cli.__main__ import main

STUDY = ("study.name=texts", "study.n_trials=1", "study.presets=[auto]")


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of a network with random weights and of a file of texts."""
    monkeypatch.chdir(tmp_path)
    classifier.save(tmp_path / "bert", classifier.untrained())
    classifier.write_csv(tmp_path / "texts.csv", classifier.texts(60))
    data = ("data=text_classification", "data.path=texts.csv", "data.reference_per_class=6")
    return ["model=hf", "model.path=bert", "device=cpu", *data]


def test_it_is_pruned_and_measured(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", *typed, "prune.rate=0.25", "units=neurons+heads", "output_dir=small"]) == 0
    printed = capsys.readouterr().out
    assert "top-1 on the test split" in printed
    assert "MACs of one text of" in printed
    assert sum(p.numel() for p in xp.load_pruned("small").parameters()) < sum(
        p.numel() for p in xp.open_language_model("bert").model.parameters()
    )
    assert main(["evaluate", *typed, "model.pruned=small"]) == 0
    assert "texts among 2 classes (chance 50.0%)" in capsys.readouterr().out
    assert main(["attribute", *typed[:3], "text=sun and rain", "target=odd", "output_dir=told"]) == 0
    assert Path("told/tokens.html").is_file()
    assert main(["attribute", *typed[:3], "text=sun and rain", "target=both"]) == 2
    assert "has even, odd" in capsys.readouterr().err


def test_it_is_searched_and_compared(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *typed, *STUDY, "prune.rate=0.5", "units=neurons"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "18 test texts" in shown
    assert "of 18 texts" in shown
    assert "perplexity" not in pd.read_csv("studies/texts/comparison.csv").columns
    assert main(["prune", *typed, "recipe=studies/texts/best.yaml", "output_dir=small"]) == 0
    assert main(["report", "study.name=texts"]) == 0
    assert "18 test texts" in Path("studies/texts/report.html").read_text()
    capsys.readouterr()
    peers = ["compare.presets=[]", "compare.criteria=[]", "compare.peers=[flap,wanda,tp_group_taylor]"]
    assert main(["compare", "study.name=texts", *peers]) == 0
    shown = capsys.readouterr().out
    assert all(peer in shown for peer in ("FLAP", "Wanda-sp", "left out: tp_group_taylor"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["objective=perplexity"], "objective=perplexity is of next tokens"),
        (["data=text", "data.path=texts.csv"], "data=text is for models that foretell the next token"),
        (["data.path=nowhere.csv"], "data.path: no such file: nowhere.csv"),
    ],
)
def test_what_does_not_fit_is_one_line(
    keys: list[str], message: str, typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *typed, *STUDY, *keys]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in said, said
