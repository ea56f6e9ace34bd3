"""Storages that are damaged, locked, full, restarted or too new."""

import multiprocessing
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState

from tests.search.conftest import MakeConfig, few
from tests.search.postgres import Postgres
from xaiprune.config import Config
from xaiprune.errors import XaipruneError
from xaiprune.session import PruningSession
from xaiprune.storage import REASON, open_storage, plain_errors
from xaiprune.study import Counts, counts, load_study, open_search, open_study, run_trials, search

fork = multiprocessing.get_context("fork")


@pytest.mark.parametrize("content", [b"not a database, but some text that somebody wrote", b"\x00" * 64])
def test_a_file_that_is_no_database(config: MakeConfig, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(content)
    with pytest.raises(XaipruneError, match=r"notes\.db is no SQLite database \(left untouched\)") as caught:
        load_study(config(f"study.storage=sqlite:///{path}"))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_truncated_database(config: MakeConfig, tmp_path: Path) -> None:
    path = tmp_path / "cut.db"
    optuna.create_study(study_name="test", storage=f"sqlite:///{path}")
    cut = path.read_bytes()[:5000]
    path.write_bytes(cut)
    with pytest.raises(XaipruneError, match=r"cut\.db: .*(malformed|not a database).*damaged") as caught:
        load_study(config(f"study.storage=sqlite:///{path}"))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == cut


def test_a_database_that_is_deleted_during_the_search(config: MakeConfig, tmp_path: Path) -> None:
    path, ended = tmp_path / "gone.db", []
    setup = open_search(config(f"study.storage=sqlite:///{path}", *few(6)))
    study = open_study(setup)

    def delete(trial: optuna.trial.FrozenTrial, done: int) -> None:
        ended.append(trial)
        path.unlink(missing_ok=True)

    with pytest.raises(XaipruneError, match=r"gone\.db was deleted during the search, with all trials in it"):
        run_trials(study, setup, delete)
    assert 1 <= len(ended) < 6


def test_a_newer_schema_is_refused(config: MakeConfig, tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    optuna.create_study(study_name="test", storage=f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
        connection.execute("UPDATE version_info SET schema_version = 99")
    connection.close()
    with pytest.raises(XaipruneError, match=r"newer\.db was made by another Optuna"):
        load_study(config(f"study.storage=sqlite:///{path}"))


def test_a_locked_database_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xaiprune.storage import connect as storage

    monkeypatch.setattr(storage, "LOCK_SECONDS", 0.05)
    url = f"sqlite:///{tmp_path}/locked.db"
    opened = open_storage(url)
    holder = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with (
        pytest.raises(XaipruneError, match=r"locked\.db: database is locked .*process \d+ \(python"),
        plain_errors(url),
    ):
        optuna.create_study(study_name="test", storage=opened)
    holder.close()


def test_passwords_are_not_shown() -> None:
    with (
        pytest.raises(XaipruneError, match=r"u:\*\*\*@host") as caught,
        plain_errors("postgresql://u:secret@host/x"),
    ):
        raise optuna.exceptions.StorageInternalError("no answer")
    assert "secret" not in str(caught.value)


def test_a_study_of_a_newer_xaiprune_is_refused(config: MakeConfig) -> None:
    study = open_study(open_search(config()))
    study.set_user_attr("schema", "xaiprune/study/2")
    with pytest.raises(
        XaipruneError, match=r"'test' has schema xaiprune/study/2, this xaiprune reads xaiprune/"
    ):
        search(config())
    assert len(study.get_trials()) == len(study.trials)


def _hold(path: Path, held: Any, done: Any) -> None:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    held.set()
    done.wait()


def test_the_holder_of_a_lock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xaiprune.storage import connect as storage

    monkeypatch.setattr(storage, "LOCK_SECONDS", 0.05)
    url = f"sqlite:///{tmp_path}/locked.db"
    opened = open_storage(url)
    held, done = fork.Event(), fork.Event()
    other = fork.Process(target=_hold, args=(tmp_path / "locked.db", held, done))
    other.start()
    held.wait()
    try:
        with pytest.raises(XaipruneError, match=rf"process {other.pid} \(\w+"), plain_errors(url):
            optuna.create_study(study_name="test", storage=opened)
    finally:
        done.set()
        other.join()
    with plain_errors(url):
        optuna.create_study(study_name="test", storage=opened)  # it was only a matter of time


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here ({mounted.stderr.strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_full_disk(config: MakeConfig, small_disk: Path, kind: str) -> None:
    wanted = config(*few(12), f"study.storage={kind}:///{small_disk}/test.{kind}")
    filler = small_disk / "filler"

    def fill(trial: Any, done: int) -> None:
        # After each trial: SQLite gives its log's space back now and then.
        if done >= 4:
            with suppress(OSError), filler.open("ab", buffering=0) as file:
                while file.write(b"x" * 512):
                    pass

    with pytest.raises(XaipruneError, match="free some space and run the same command again") as caught:
        search(wanted, fill)
    assert "\n" not in str(caught.value)
    assert counts(load_study(wanted)).done >= 4  # readable, while the disk is full
    filler.unlink()
    study = search(wanted)
    # What the disk interrupted runs again; what could still note that it failed does not.
    refused = sum(REASON in t.user_attrs for t in study.trials if t.state is TrialState.FAIL)
    assert counts(study).done + refused == 12


def _limited(config: Config, answers: Any) -> None:
    import resource
    import signal

    torch.set_num_threads(1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(trial: Any, done: int) -> None:
        if done == 3:
            size = max(
                path.stat().st_size
                for path in Path(str(config.output_dir)).parent.iterdir()
                if path.is_file()
            )
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    try:
        search(config, limit)
        answers.put("it did not notice")
    except XaipruneError as error:
        answers.put(str(error))


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_file_that_may_not_grow(config: MakeConfig, tmp_path: Path, kind: str) -> None:
    """The same where no file system can be mounted: the kernel refuses to write on."""
    wanted = config(*few(12), f"study.storage={kind}:///{tmp_path}/studies/test.{kind}")
    answers = fork.SimpleQueue()
    child = fork.Process(target=_limited, args=(wanted, answers))
    child.start()
    assert "free some space and run the same command again" in answers.get()
    child.join()
    assert counts(load_study(wanted)).done >= 3
    study = search(wanted)
    assert counts(study).done == 12
    assert counts(study).running == 0


def test_postgresql_restarts_between_trials(
    config: MakeConfig, postgres: Postgres, postgres_url: str
) -> None:
    def restart(trial: Any, done: int) -> None:
        if done == 3:
            postgres.restart()

    study = search(config(*few(6), f"study.storage={postgres_url}"), restart)
    assert counts(study) == Counts(done=6, running=0, failed=0, presets=6)


def test_postgresql_is_stopped_in_mid_trial(
    config: MakeConfig, postgres: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = config(*few(6), f"study.storage={postgres_url}")
    accuracy, calls = PruningSession.accuracy, []

    def stopping(self: PruningSession, *rest: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            postgres.stop()
        return accuracy(self, *rest, **options)

    monkeypatch.setattr(PruningSession, "accuracy", stopping)
    try:
        with pytest.raises(XaipruneError, match="check the server and run the same command again") as caught:
            search(wanted)
        assert "\n" not in str(caught.value)
    finally:
        postgres.start()
    assert counts(load_study(wanted)).running == 1
    study = search(wanted)
    assert counts(study) == Counts(done=6, running=0, failed=1, presets=6)
