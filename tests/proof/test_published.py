"""What the proof has published: studies that open anywhere, and a page that says what its tables say."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pandas as pd
import pytest

from benchmarks.proof import cases
from benchmarks.proof.cases import CASES
from benchmarks.proof.page import PAGES, rendered
from benchmarks.proof.studies import STAGES
from xaiprune.attribution.lrp.composite_io import load_composite
from xaiprune.study import SCHEMA, best_trial, recipe_of

ROOT = Path(__file__).resolve().parents[2]
STUDIES = sorted((ROOT / "studies" / "proof").glob("*.db"))
TABLES = sorted((ROOT / "docs" / "results").glob("*.csv"))
_FOLDERS = re.compile(rb"(?:/|\\)(?:home|work|root|tmp|mnt|Users)(?:/|\\)\w+")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_published_study_opens_and_names_no_machine(path: Path, tmp_path: Path) -> None:
    _skip_while_it_runs(path)
    assert _FOLDERS.findall(path.read_bytes()) == []
    copy = tmp_path / path.name  # opening may write
    copy.write_bytes(path.read_bytes())
    study = optuna.load_study(study_name=path.stem, storage=f"sqlite:///{copy}")
    assert study.user_attrs["schema"] == SCHEMA
    (name,) = [name for name in CASES if path.stem.startswith(f"{name}-")]
    (stage,) = [stage for stage in STAGES if f"-{stage.name}-s" in path.name]
    asked = study.user_attrs["fingerprint"]["prune"]
    assert asked["rate"] == stage.rate(CASES[name])
    assert (asked.get("compensate") == "linear") is stage.compensated
    assert (asked.get("order") == "joint") is stage.joint
    best = recipe_of(best_trial(study))
    kept = load_composite(path.with_suffix("") / "best.yaml")
    assert kept == best.composite


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_published_study_is_one_whole_file(path: Path) -> None:
    _skip_while_it_runs(path)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table_says_how_it_was_made(path: Path) -> None:
    about, command, _ = path.read_text(encoding="utf-8").split("\n", 2)
    assert about.startswith("# ")
    assert f"python -m benchmarks.proof {path.stem}" in command
    assert "torch" in command
    frame = pd.read_csv(path, comment="#")
    assert set(frame.case) <= set(CASES)
    if "correct" in frame:
        assert (frame.top1 - frame.correct / frame.total).abs().max() < 1e-9


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_has_the_tables_of_its_files(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(cases, "SHARED", ROOT / "nowhere")  # neither networks nor photographs are needed
    text = page.read_text(encoding="utf-8")
    assert "<!-- table: " in text
    assert rendered(text) == text, "python -m benchmarks.proof writes them anew"


def _skip_while_it_runs(path: Path) -> None:
    if list(path.parent.glob(f"{path.name}-*")):
        pytest.skip("its search runs just now: a part of it is in the journal beside it")
