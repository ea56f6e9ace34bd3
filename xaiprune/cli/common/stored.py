"""Existing studies, opened for reading: nothing is created if there is none."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError

from xaiprune.config import Config
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.storage import (
    JOURNAL,
    LOCK_SECONDS,
    connect_to_read,
    file_url,
    is_journal,
    journal_file,
    plain_errors,
    quiet,
    storage_file,
)
from xaiprune.study import check_schema, is_ours, load_study, storage_url


@contextmanager
def stored_study(config: Config) -> Iterator[optuna.Study]:
    """The study that ``study.name`` and ``study.storage`` say.

    What goes wrong with the storage inside the block is one line, too.

    Raises:
        XaipruneError: No such file, study or server, or the file is damaged.
    """
    url = storage_url(config)
    require_studies(url)
    with plain_errors(url), quiet():
        yield load_study(config)


def require_studies(url: str) -> None:
    """Refuse a file that is missing or holds no studies; opening it would make one of it.

    Raises:
        XaipruneError: Names the file, and the closest there is.
    """
    path = storage_file(url)
    if path is None:
        return
    if path.is_dir():
        raise XaipruneError(f"study.storage: {path} is a folder, not a database file")
    if not path.is_file():
        there = [file.stem for file in path.parent.glob(f"*{path.suffix}")]
        closest = did_you_mean(path.stem, there) or "; 'xaiprune studies' lists what there is"
        raise XaipruneError(f"no study there: {path} does not exist{closest}")
    if journal_file(url) is None:
        _require_tables(path)
    elif not is_journal(path):
        raise XaipruneError(f"study.storage: {path} is no journal of Optuna's (left untouched)")


def _require_tables(path: Path) -> None:
    try:
        with closing(connect_to_read(path, LOCK_SECONDS)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    except OSError as error:
        raise XaipruneError(f"study.storage: {path} cannot be read ({error.strerror})") from error
    except sqlite3.OperationalError as error:  # locked, or it may not be opened: nothing about what is in it
        with plain_errors(file_url(path)):
            raise StorageInternalError(str(error)) from error
    except sqlite3.Error as error:
        raise XaipruneError(
            f"study.storage: {path} cannot be read ({error}); it is no SQLite database or damaged, and is "
            "left untouched: restore a copy, or choose another study.storage"
        ) from error
    if not {"studies", "trials"} <= tables:
        raise XaipruneError(f"study.storage: {path} holds no studies (left untouched)")


def require_ours(study: optuna.Study) -> None:
    """Refuse a study of another program, or of a newer xaiprune.

    Raises:
        XaipruneError: Says which schema it has.
    """
    if is_ours(study):
        return
    check_schema(study)
    raise XaipruneError(f"study '{study.study_name}' was not made by xaiprune")


def storages_in(folder: Path) -> list[str]:
    """URLs of the SQLite and journal files of a folder, by name."""
    journals = [path for path in folder.glob("*.log") if is_journal(path)]
    return [
        file_url(path, JOURNAL if path in journals else "sqlite")
        for path in sorted([*folder.glob("*.db"), *journals])
    ]
