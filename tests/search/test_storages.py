"""What every storage must do: SQLite, a journal file, PostgreSQL."""

import multiprocessing
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.search.conftest import MakeConfig, few
from xaiprune.cli import dashboard, export, studies
from xaiprune.config import compose
from xaiprune.errors import XaipruneError
from xaiprune.storage import (
    absolute_url,
    has_heartbeats,
    journal_file,
    open_storage,
    plain_errors,
    quiet,
    require_driver,
    shown,
    sqlite_file,
    stale,
    storage_lock,
)
from xaiprune.study import best_trial, counts, load_study, open_search, open_study, search

ELSEWHERE = {"pid": 7, "host": "elsewhere", "namespace": "", "born": "1"}
fork = multiprocessing.get_context("fork")


def points(study: optuna.Study) -> list[tuple[dict, float | None]]:
    return [(trial.params, trial.value) for trial in study.trials]


def test_the_same_study_on_every_storage(config: MakeConfig, storage: str, tmp_path: Path) -> None:
    """Run, resumed, listed, shown, exported, copied."""
    here = f"study.storage={storage}"
    search(config(here, *few(3)))
    study = search(config(here, *few(10)))
    assert counts(study).done == 10
    reference = search(config(*few(10)))  # SQLite, at a stretch
    assert points(study) == points(reference)

    copy = [
        here,
        "study.name=test",
        "studies.action=copy",
        f"studies.to_storage=sqlite:///{tmp_path}/copy.db",
    ]
    studies.run(compose("studies", copy))
    assert points(load_study(config(f"study.storage=sqlite:///{tmp_path}/copy.db"))) == points(study)
    back = [f"study.storage=sqlite:///{tmp_path}/copy.db", "study.name=test", "studies.action=copy"]
    studies.run(compose("studies", [*back, f"studies.to_storage={storage}", "studies.to_name=back"]))
    assert points(load_study(config(here, "study.name=back"))) == points(study)
    export.run(compose("export", [here, "study.name=test", f"output_dir={tmp_path}/out"]))
    assert (tmp_path / "out" / "best.yaml").is_file()
    page = dashboard.address(study, "127.0.0.1", 8080)
    assert page.startswith("http://127.0.0.1:8080/dashboard/studies/")


def test_listed_and_shown(config: MakeConfig, storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    study = search(config(f"study.storage={storage}", *few(1)))
    studies.run(compose("studies", [f"study.storage={storage}"]))
    _, row = capsys.readouterr().out.splitlines()
    assert row.split()[:3] == ["test", "0", "1"]
    studies.run(compose("studies", [f"study.storage={storage}", "study.name=test", "studies.action=show"]))
    printed = capsys.readouterr().out
    assert f"study     test in {shown(absolute_url(storage))}\n" in printed
    assert f"best      trial {best_trial(study).number}" in printed


@pytest.mark.filterwarnings("ignore:Heartbeat")
def test_repair(config: MakeConfig, storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    study = open_study(open_search(config(f"study.storage={storage}")))
    with quiet():
        dead, far = study.ask(), study.ask()
    dead.set_user_attr(stale.WORKER, {"pid": 1, **stale._machine(), "born": "an earlier boot 17"})
    far.set_user_attr(stale.WORKER, ELSEWHERE)
    typed = [f"study.storage={storage}", "study.name=test", "studies.action=repair"]
    studies.run(compose("studies", typed))
    printed = capsys.readouterr().out
    assert f"trial {dead.number} was not finished" in printed
    assert f"trial {far.number} is left alone: process 7 on elsewhere" in printed
    assert ("no heartbeats" in printed) is not has_heartbeats(open_storage(storage))
    studies.run(compose("studies", [*typed, "studies.assume_dead=true"]))
    trials = load_study(config(f"study.storage={storage}")).trials
    assert [trials[n].state for n in (dead.number, far.number)] == [TrialState.FAIL] * 2
    assert [t.user_attrs[stale.RETRY_OF] for t in trials[-2:]] == [dead.number, far.number]


def test_a_journal_says_that_it_has_no_heartbeats(
    config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="xaiprune")
    open_study(open_search(config(f"study.storage=journal:///{tmp_path}/a.log")))
    assert "no heartbeats" in caplog.text
    caplog.clear()
    open_study(open_search(config()))
    assert "no heartbeats" not in caplog.text


def _create(url: str, start, answers) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    start.wait()
    try:
        with plain_errors(url), storage_lock(url), quiet():
            study = optuna.create_study(study_name="same", storage=open_storage(url), load_if_exists=True)
            if not study.get_trials(deepcopy=False):  # as presets are queued: once
                study.enqueue_trial({"x": 1})
        answers.put("ok")
    except BaseException as error:
        answers.put(repr(error))


def test_two_processes_start_the_same_new_study(storage: str, request: pytest.FixtureRequest) -> None:
    """Twenty times with SQLite. They fork after all imports: starting Python takes longer than the race."""
    kind = storage.partition(":")[0]
    for round_ in range(20 if kind == "sqlite" else 5):
        url = storage.replace("test.", f"test-{round_}.") if kind != "postgresql" else _fresh(request, round_)
        start, answers = fork.Barrier(2), fork.SimpleQueue()
        both = [fork.Process(target=_create, args=(url, start, answers)) for _ in range(2)]
        for process in both:
            process.start()
        assert [answers.get() for _ in both] == ["ok", "ok"]
        for process in both:
            process.join()
        study = optuna.load_study(study_name="same", storage=open_storage(url))
        assert len(study.trials) == 1


def _fresh(request: pytest.FixtureRequest, number: int) -> str:
    return str(request.getfixturevalue("postgres").new_database(f"race_{number}"))


def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_url("sqlite:///studies/a.db") == f"sqlite:///{tmp_path}/studies/a.db"
    assert absolute_url("sqlite://") == "sqlite://"
    assert absolute_url("journal:///a.log") == f"journal:///{tmp_path}/a.log"
    assert journal_file("journal:////abs/a.log") == Path("/abs/a.log")
    assert sqlite_file("journal:///a.log") is None
    for typed in ("postgresql://u:p@host/x", "postgres://u:p@host/x", "postgresql+psycopg://u:p@host/x"):
        assert absolute_url(typed) == "postgresql+psycopg://u:p@host/x"
    assert absolute_url("postgresql+psycopg2://host/x") == "postgresql+psycopg2://host/x"
    assert absolute_url("mysql://u:p@host/x") == "mysql+pymysql://u:p@host/x"
    assert shown("mysql://u:secret@host/x") == "mysql://u:***@host/x"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("studies/a.db", "is no database URL; a file is written sqlite:///studies/NAME.db"),
        ("journal://", "names no file; a journal is written journal:///studies/NAME.log"),
        ("nosuchdb://host/x", "no driver for it .*; install it"),
        ("sqlite:///.", "is a folder, not a database file"),
        ("journal:///.", "is a folder, not a journal file"),
    ],
)
def test_urls_that_lead_nowhere(url: str, message: str) -> None:
    with pytest.raises(XaipruneError, match=message) as caught:
        open_storage(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "extra", "driver"),
    [("postgresql://u:secret@h/x", "postgres", "psycopg"), ("mysql://u:secret@h/x", "mysql", "pymysql")],
)
def test_a_missing_driver_names_its_extra(
    url: str, extra: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, driver, None)  # as if it were not installed
    for opened in (lambda: open_storage(url), lambda: storage_lock(url).__enter__()):
        with pytest.raises(XaipruneError, match=rf"pip install 'xaiprune\[{extra}\]'") as caught:
            opened()
        assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there() -> None:
    pytest.importorskip("psycopg", reason="pip install 'xaiprune[postgres]'")
    url = "postgresql://u:secret@127.0.0.1:1/x"
    require_driver(url)
    with pytest.raises(XaipruneError, match="check the server and run the same command again") as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "notes.log"
    path.write_text("not a journal\n")
    with pytest.raises(XaipruneError, match=r"notes\.log is no journal of Optuna's \(left untouched\)"):
        open_storage(f"journal:///{path}")
    assert path.read_text() == "not a journal\n"


def test_a_damaged_journal(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    url = f"journal:///{path}"
    optuna.create_study(study_name="one", storage=open_storage(url))
    path.write_bytes(path.read_bytes() + b'{"op_code": 4, "wor\n{"op_code": 4}\n')
    damaged = path.read_bytes()
    with pytest.raises(XaipruneError, match=r"a\.log: malformed journal.*damaged: restore a copy") as caught:
        open_storage(url)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == damaged


def test_a_line_that_was_cut_off_is_taken_back(tmp_path: Path) -> None:
    """As a full disk or a power cut leaves it: the next line must not be appended to half of one."""
    path = tmp_path / "a.log"
    url = f"journal:///{path}"
    study = optuna.create_study(study_name="one", storage=open_storage(url))
    study.add_trial(optuna.trial.create_trial(value=0.5))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"worker_id":"' + b"x" * 70_000)
    assert len(optuna.load_study(study_name="one", storage=open_storage(url)).trials) == 1
    study.add_trial(optuna.trial.create_trial(value=0.7))
    again = optuna.load_study(study_name="one", storage=open_storage(url))
    assert [trial.value for trial in again.trials] == [0.5, 0.7]
    assert path.read_bytes().startswith(whole + b'{"op_code"')
