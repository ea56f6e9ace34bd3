"""Studies of the proof on all classes open anywhere, and its pages say what its tables say."""

import re
from pathlib import Path

import optuna
import pandas as pd
import pytest

from benchmarks.wide.cases import CASES
from benchmarks.wide.page import PAGES, rendered
from benchmarks.wide.searches import STAGES
from xaiprune.recipe import load_recipe
from xaiprune.study import SCHEMA, best_recipe

ROOT = Path(__file__).resolve().parents[2]
STUDIES = sorted((ROOT / "studies" / "wide").glob("*.db"))
TABLES = sorted((ROOT / "docs" / "results" / "wide").glob("*.csv"))
_FOLDERS = re.compile(rb"(?:/|\\)(?:home|work|root|tmp|mnt|Users)(?:/|\\)\w+")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_published_study_opens_and_names_no_machine(path: Path, tmp_path: Path) -> None:
    assert _FOLDERS.findall(path.read_bytes()) == []
    copy = tmp_path / path.name  # opening may write
    copy.write_bytes(path.read_bytes())
    study = optuna.load_study(study_name=path.stem, storage=f"sqlite:///{copy}")
    assert study.user_attrs["schema"] == SCHEMA
    (case,) = [case for case in CASES.values() if path.stem.startswith(f"{case.name}-")]
    assert any(path.stem.startswith(f"{case.name}-{stage.name}-s") for stage in STAGES)
    assert study.user_attrs["fingerprint"]["prune"].get("bn", "keep") == case.bn
    kept = load_recipe(path.with_suffix("") / "best.yaml")
    assert kept == best_recipe(study)
    assert (kept.budget, kept.compensate, kept.sequential) == ("macs", "linear", False)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table_says_how_it_was_made(path: Path) -> None:
    about, command, _ = path.read_text(encoding="utf-8").split("\n", 2)
    assert about.startswith("# ")
    assert f"python -m benchmarks.wide {path.stem}" in command
    frame = pd.read_csv(path, comment="#")
    assert set(frame.case) <= set(CASES)
    assert (frame.top1 - frame.correct / frame.total).abs().max() < 1e-9
    assert set(frame.total) == {1000}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_has_the_tables_of_its_files(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = page.read_text(encoding="utf-8")
    assert "<!-- wide: " in text
    assert rendered(text) == text, "python -m benchmarks.wide writes them anew"


def test_the_page_of_results_stays_short() -> None:
    text = (ROOT / "docs" / "results" / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 1500
