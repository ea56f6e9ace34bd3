"""``xaiprune report``: the page and the CSV files, and one line for what cannot be shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import optuna
import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra

from tests.report.made_up_study import make
from tests.search.conftest import MakeConfig, few
from xaiprune.cli import report, search
from xaiprune.cli.__main__ import main
from xaiprune.config import compose
from xaiprune.errors import XaipruneError
from xaiprune.report import trials
from xaiprune.storage import quiet


@pytest.fixture(autouse=True)
def _without_hydra() -> Iterator[None]:
    yield
    GlobalHydra.instance().clear()


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_storage: bytes) -> optuna.Study:
    """``studies/made_up.db`` in the current folder."""
    monkeypatch.chdir(tmp_path)
    return store(empty_storage)


def store(empty_storage: bytes, count: int = 8, **made_up: bool | int) -> optuna.Study:
    Path("studies").mkdir(exist_ok=True)
    Path("studies/made_up.db").write_bytes(empty_storage)
    return make(count, storage="sqlite:///studies/made_up.db", **made_up)  # type: ignore[arg-type]


def run(*overrides: str) -> None:
    report.run(compose("report", ["study.name=made_up", *overrides]))


def test_a_page_and_tables_beside_the_study(stored: optuna.Study, capsys) -> None:
    run()
    folder = Path("studies/made_up").absolute()
    assert capsys.readouterr().out.splitlines() == [
        f"page      {folder / 'report.html'}",
        f"trials    {folder / 'trials.csv'}",
        f"layers    {folder / 'layers.csv'}",
    ]
    assert "made_up · xaiprune report" in (folder / "report.html").read_text()
    frame = pd.read_csv(folder / "trials.csv")
    wanted = trials(stored)
    assert list(frame.columns) == list(wanted.columns)
    assert frame.value.tolist()[:8] == wanted.value.tolist()[:8]
    assert len(pd.read_csv(folder / "layers.csv")) == 8 * 4


def test_elsewhere_and_without_tables(stored: optuna.Study, tmp_path: Path) -> None:
    run(f"report.output={tmp_path}/new/mine.html", "report.csv=false")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["mine.html"]
    assert not Path("studies/made_up").exists()


def test_the_study_is_left_as_it_was(stored: optuna.Study) -> None:
    with quiet():
        before = (stored.user_attrs, len(stored.trials))
        run()
        assert (stored.user_attrs, len(stored.trials)) == before


def test_no_password_on_the_page(monkeypatch: pytest.MonkeyPatch, stored: optuna.Study) -> None:
    monkeypatch.setattr(report, "storage_url", lambda config: "postgresql://me:secret@host/studies")
    run()
    text = Path("studies/made_up/report.html").read_text()
    assert "postgresql://me:***@host/studies" in text
    assert "secret@" not in text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["study.name=made"], r"made\.db does not exist; did you mean 'made_up'\?"),
        (
            ["study.storage=sqlite:///studies/made_up.db", "study.name=other"],
            r"no study 'other' in .*made_up",
        ),
        (["report.html=x"], r"unknown key 'report\.html'"),
        (["report.csv=maybe"], r"report\.csv"),
    ],
)
def test_what_cannot_be_reported(stored: optuna.Study, overrides: list[str], message: str) -> None:
    with pytest.raises(XaipruneError, match=message):
        run(*overrides)


def test_nothing_finished(tmp_path, monkeypatch, empty_storage, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    store(empty_storage, 0)
    for more in ([], ["report.network=true"]):
        assert main(["report", "study.name=made_up", *more]) == 2
        error = capsys.readouterr().err
        assert error == "xaiprune: study 'made_up' has no finished trial yet; run its search again\n"
    assert not Path("studies/made_up").exists()


def test_a_study_of_somebody_elses(tmp_path, monkeypatch, empty_storage) -> None:
    monkeypatch.chdir(tmp_path)
    Path("studies").mkdir()
    Path("studies/made_up.db").write_bytes(empty_storage)
    with quiet():
        theirs = optuna.create_study(study_name="made_up", storage="sqlite:///studies/made_up.db")
        theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with pytest.raises(XaipruneError, match="study 'made_up' was not made by xaiprune"):
        run()


def test_a_study_of_a_newer_xaiprune(stored: optuna.Study) -> None:
    stored.set_user_attr("schema", "xaiprune/study/2")
    with pytest.raises(XaipruneError, match="has schema xaiprune/study/2, this xaiprune reads"):
        run()


def test_the_network_of_a_study_that_did_not_note_its_settings(tmp_path, monkeypatch, empty_storage) -> None:
    monkeypatch.chdir(tmp_path)
    store(empty_storage, noted=False)
    with pytest.raises(XaipruneError, match="before searches noted their settings; run its search command"):
        run("report.network=true")


def test_from_search_to_report(config: MakeConfig, tmp_path: Path, capsys) -> None:
    """A search leaves cost and heatmaps; a report takes them, or makes them anew."""
    search.run(config(*few(2), "prune.rate=0.5"))
    folder = tmp_path / "studies" / "test"
    shown = capsys.readouterr().out
    command = shown.split("report      xaiprune report ")[1].splitlines()[0]
    found = json.loads((folder / "cost.json").read_text())
    assert found["pruned"]["params"] < found["dense"]["params"]
    assert found["pruned"]["macs"] < found["dense"]["macs"]

    def page() -> str:
        assert main(["report", *command.split(), "report.csv=false", "report.network=true"]) == 0
        return (folder / "report.html").read_text()

    before = (folder / "cost.json").stat().st_mtime_ns
    assert "data:image/png;base64," in page()
    assert (folder / "cost.json").stat().st_mtime_ns == before  # nothing to do
    for name in ("cost.json", "heatmaps.png"):
        (folder / name).unlink()
    assert "data:image/png;base64," in page()
    assert json.loads((folder / "cost.json").read_text()) == found


def test_another_set_up_than_the_searchs_is_refused(config: MakeConfig, tmp_path: Path, capsys) -> None:
    """With the settings noted with the study, and others typed on top."""
    search.run(config(*few(1), "prune.rate=0.5"))
    command = capsys.readouterr().out.split("report      xaiprune report ")[1].splitlines()[0]
    (tmp_path / "studies" / "test" / "cost.json").unlink()
    assert main(["report", *command.split(), "report.network=true", "prune.min_units=2"]) == 2
    assert "study 'test' in " in (error := capsys.readouterr().err)
    assert "was made with another set-up: prune.min_units was 1, now 2" in error
