"""Studies in files, and folders, that may not be written to: they are read, and left as they are."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import MakeStudy
from xaiprune.cli.__main__ import main
from xaiprune.errors import XaipruneError
from xaiprune.storage import open_storage, open_to_read, storage_of

KINDS = ("a file", "a folder", "both")
every_kind = pytest.mark.parametrize("kind", KINDS)
# linux/capability.h: to pass over permissions to write and to read.
_VERSION, _OVERRIDE = 0x20080522, 1 << 1 | 1 << 2


@pytest.fixture
def permissions() -> Iterator[None]:
    """Permissions count, for root, too: this thread gives up passing over them while the test runs."""
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets):
        pytest.skip("root's permissions cannot be given up here")
    before = sets[0]
    sets[0] &= ~_OVERRIDE
    if libc.capset(header, sets):
        pytest.skip("root's permissions cannot be given up here")
    try:
        yield
    finally:
        sets[0] = before
        libc.capset(header, sets)


@pytest.fixture
def studies(permissions: None, make_study: MakeStudy, tmp_path: Path) -> Iterator[Path]:
    """The folder ``studies`` in the current one, with a study ``old``."""
    study = make_study("old", ("taylor", 0.9, "plan a"), ("epsilon", 0.7, "plan b"))
    storage_of(study)._backend.engine.dispose()  # type: ignore[attr-defined]  # nobody has it open any more
    assert [path.name for path in (tmp_path / "studies").iterdir()] == ["old.db"]
    yield tmp_path / "studies"
    (tmp_path / "studies").chmod(0o755)


def close(studies: Path, kind: str) -> None:
    """Take the permission to write away."""
    if kind != "a folder":
        for path in studies.iterdir():
            path.chmod(0o444)
    if kind != "a file":
        studies.chmod(0o555)


@every_kind
@pytest.mark.parametrize(
    ("task", "shown"),
    [
        (["studies"], "old"),
        (["studies", "show", "study.name=old"], "best      trial 0: 90.0 %"),
        (["report", "study.name=old", "output_dir=out"], "report.html"),
        (["export", "study.name=old", "output_dir=out"], "best.yaml"),
        (["studies", "copy", "study.name=old", "studies.to_storage=sqlite:///mine.db"], "copied  2 trials"),
    ],
    ids=lambda value: value[0] + value[1][:5] if isinstance(value, list) and len(value) > 1 else "",
)
def test_what_only_reads(
    studies: Path, kind: str, task: list[str], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    close(studies, kind)
    before = {path.name: path.stat().st_mtime_ns for path in studies.iterdir()}
    assert main(task) == 0, capsys.readouterr().err
    assert shown in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in studies.iterdir()} == before


@every_kind
@pytest.mark.parametrize("task", ["search", "dashboard"])
def test_what_writes_is_one_line(
    studies: Path, kind: str, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    close(studies, kind)
    assert main([task, "study.name=old", "output_dir=out"]) == 2
    captured = capsys.readouterr()
    assert "written to" in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_repair_is_one_line(studies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    close(studies, "both")
    assert main(["studies", "repair", "study.name=old"]) == 2
    captured = capsys.readouterr()
    assert "nothing can be written to" in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("task", ["report", "export"])
def test_files_that_cannot_be_written_are_one_line(
    studies: Path, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    close(studies, "a folder")
    assert main([task, "study.name=old"]) == 2
    captured = capsys.readouterr()
    assert "output_dir: nothing can be written to" in captured.err
    assert captured.err.count("\n") == 1


def test_what_another_user_writes_is_seen(studies: Path) -> None:
    """As long as somebody has the database open, its last trials are in the log beside it."""
    url = f"sqlite:///{studies}/old.db"
    writing = open_storage(url)
    study_id = writing.get_study_id_from_name("old")
    writing.set_study_user_attr(study_id, "mark", "in the log")
    assert Path(f"{studies}/old.db-wal").stat().st_size
    close(studies, "both")
    reading = open_to_read(url)
    assert reading.get_study_user_attrs(study_id)["mark"] == "in the log"
    studies.chmod(0o755)
    writing.engine.dispose()


def test_a_log_that_cannot_be_read_is_named(studies: Path) -> None:
    """A process was killed, and its log lies beside the database: without it, trials would be missing."""
    url = f"sqlite:///{studies}/old.db"
    writing = open_storage(url)
    study_id = writing.get_study_id_from_name("old")
    writing.set_study_user_attr(study_id, "mark", "in the log")
    killed = studies.parent / "killed"
    shutil.copytree(studies, killed, ignore=shutil.ignore_patterns("*-shm"))
    assert sorted(path.name for path in killed.iterdir()) == ["old.db", "old.db-wal"]
    close(killed, "both")
    try:
        with pytest.raises(XaipruneError, match=r"copy it, with the file old\.db-wal, to a folder") as caught:
            open_to_read(f"sqlite:///{killed}/old.db")
    finally:
        killed.chmod(0o755)
        for path in killed.iterdir():
            path.chmod(0o644)
    assert "damaged" not in str(caught.value)
    assert open_storage(f"sqlite:///{killed}/old.db").get_study_user_attrs(study_id)["mark"] == "in the log"


@every_kind
def test_journals(studies: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    to = ["studies.to_storage=journal:///studies/old.log", "studies.to_name=kept"]
    assert main(["studies", "copy", "study.name=old", *to]) == 0
    close(studies, kind)
    storage = ["study.name=kept", "study.storage=journal:///studies/old.log", "output_dir=out"]
    assert main(["report", *storage]) == 0
    capsys.readouterr()
    assert main(["search", *storage]) == 2
    assert "written to" in capsys.readouterr().err
