"""Where studies lie: Optuna storages, opened with patience for locks and plain words for what is broken."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from xaiprune.errors import XaipruneError
from xaiprune.storage import stale
from xaiprune.storage.journal import open_journal
from xaiprune.storage.lock_owners import lock_owners
from xaiprune.storage.reading import connect_to_read, may_write
from xaiprune.storage.urls import absolute_url, journal_file, require_driver, shown, sqlite_file, storage_file

# What PostgreSQL, MySQL and the network say when the server is not there, or not any more.
_UNREACHABLE = (
    "connection",
    "Connection",
    "connect to",
    "Can't connect",
    "gone away",
    "shutting down",
    "starting up",
)
LOCK_SECONDS = 120  # a worker that writes holds the lock for milliseconds; a slow disk, for seconds


def open_storage(url: str) -> BaseStorage:
    """Open (or create) a storage.

    Args:
        url: ``sqlite:///FILE``, ``journal:///FILE``, ``postgresql://...`` or ``mysql://...``, or what else
            SQLAlchemy knows. The folder of a file is made where it is missing.

    Raises:
        XaipruneError: The file is no storage, or the server does not answer or has no driver here.
    """
    if (journal := journal_file(url)) is not None:
        with plain_errors(url):
            return open_journal(journal)
    require_driver(url)
    path = sqlite_file(url)
    options: dict[str, Any] = {"pool_pre_ping": True}  # connects again after the server has restarted
    if path is not None:
        _check_sqlite(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    if url.startswith("sqlite"):
        options = {"connect_args": {"timeout": LOCK_SECONDS}}
    storage = _opened(url, options)
    if path is not None:
        with plain_errors(url):
            _write_ahead(storage)
    return storage


def _opened(url: str, options: dict[str, Any]) -> RDBStorage:
    with plain_errors(url), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            return RDBStorage(
                absolute_url(url),
                engine_kwargs=options,
                heartbeat_interval=stale.BEAT_SECONDS,
                grace_period=stale.GRACE_SECONDS,
                heartbeat_stale_trial_callback=stale.retry,
            )
        except RuntimeError as error:  # Optuna's: another version made the tables
            raise XaipruneError(
                f"study.storage={shown(url)} was made by another Optuna ({_line(error)}); "
                "use that version, upgrade with 'optuna storage upgrade', or choose another study.storage"
            ) from error


def open_to_read(url: str) -> BaseStorage:
    """Open a storage in which studies are only read: it may be a file that must not be written to.

    Raises:
        XaipruneError: As `open_storage`.
    """
    path = sqlite_file(url)
    if path is None or not path.exists() or may_write(path):
        return open_storage(url)
    _check_sqlite(path)
    return _opened(url, {"creator": lambda: connect_to_read(path, LOCK_SECONDS)})


def require_file(url: str) -> None:
    """Refuse to go on once the storage's file has been deleted: an open database is written to without it.

    Raises:
        XaipruneError: It is gone, with all trials that it had.
    """
    file = storage_file(url)
    if file is not None and not file.exists():
        raise XaipruneError(
            f"study.storage={shown(url)} was deleted during the search, with all trials in it; start again"
        )


@contextmanager
def plain_errors(url: str) -> Iterator[None]:
    """Exceptions of the database as one line that names the storage."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, DBAPIError) and cause.orig is not None:
            cause = cause.orig
        raise XaipruneError(f"study.storage={shown(url)}: {_explained(_line(cause), url)}") from error


def _write_ahead(storage: RDBStorage) -> None:
    """Let SQLite append to a log instead of waiting for the disk at each of a trial's thirty commits.

    Killed processes lose nothing by it; a power cut can lose the last trials, never the database.
    """

    def relax(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    with storage.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    event.listen(storage.engine, "connect", relax)
    storage.engine.dispose()  # connections that are open already do not have it yet


def has_heartbeats(storage: BaseStorage) -> bool:
    """Whether other machines can see that a worker has ended."""
    interval = getattr(storage, "get_heartbeat_interval", None)  # a journal file has none
    return interval is not None and interval() is not None


def _explained(message: str, url: str) -> str:
    path = sqlite_file(url)
    if "locked" in message and path is not None:
        who = ", ".join(lock_owners(path)) or "another process"
        return (
            f"{message} for {LOCK_SECONDS} s; {who} writes to it (see also 'fuser {path}'), "
            "or the file lies on a network drive without locks"
        )
    if path is not None and any(sign in message for sign in ("readonly", "unable to open")):
        if Path(f"{path}-wal").exists():  # of a process that was killed: it has the last trials
            return f"{message}; copy it, with the file {path.name}-wal, to a folder that you may write to"
        return f"{message}; allow writing to the file and its folder, or choose another study.storage"
    if "not a database" in message or "malformed" in message:
        return f"{message}; the file is damaged: restore a copy, or choose another study.storage"
    if any(sign in message for sign in ("full", "disk I/O", "No space left", "File too large", "quota")):
        return f"{message}; free some space and run the same command again, finished trials are kept"
    if any(sign in message for sign in _UNREACHABLE):
        return f"{message}; check the server and run the same command again, finished trials are kept"
    return message


def _check_sqlite(path: Path) -> None:
    """Refuse what is there but is no database, before anything touches it.

    Through SQLite, never by opening the file: closing it would drop the locks that other connections of this
    process hold on it, another process would throw away the log that they read, and what it writes would no
    longer be seen here (sqlite.org/howtocorrupt.html, 2.2).
    """
    if path.is_dir():
        raise XaipruneError(f"study.storage: {path} is a folder, not a database file")
    if not path.exists() or not path.stat().st_size:
        return
    try:
        with closing(connect_to_read(path, LOCK_SECONDS)) as database:
            database.execute("PRAGMA schema_version").fetchone()
    except (sqlite3.DatabaseError, OSError) as error:
        if "locked" in str(error):
            return  # so it is one; opening it for good will tell who holds it
        if "not a database" in str(error):
            raise XaipruneError(
                f"study.storage: {path} is no SQLite database (left untouched); choose another study.storage"
            ) from error
        raise XaipruneError(
            f"study.storage: {path}: {_explained(str(error), f'sqlite:///{path}')}"
        ) from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


@contextmanager
def quiet() -> Iterator[None]:
    """No log lines of Optuna's own (a failed trial's traceback among them), and no warnings of novelty."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # The loop has heartbeats of its own (`heartbeat.beating`).
            warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
            yield
    finally:
        optuna.logging.set_verbosity(level)
