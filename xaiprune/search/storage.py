"""Where studies lie: Optuna storages, opened with patience for locks and plain words for what is broken."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from xaiprune.errors import XaipruneError
from xaiprune.search import stale

_SQLITE_HEADER = b"SQLite format 3\x00"
LOCK_SECONDS = 120  # a worker that writes holds the lock for milliseconds; a slow disk, for seconds


def absolute_url(url: str) -> str:
    """The storage's URL with an absolute path, where it is a SQLite file.

    Raises:
        XaipruneError: It is no URL.
    """
    path = sqlite_file(url)
    return url if path is None else f"sqlite:///{path}"


def sqlite_file(url: str) -> Path | None:
    """The absolute path of a SQLite storage; None for other storages and for one in memory.

    Raises:
        XaipruneError: It is no URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise XaipruneError(
            f"study.storage={url} is no database URL; a file is written sqlite:///studies/NAME.db"
        ) from None
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database)).expanduser().absolute()


def open_storage(url: str) -> BaseStorage:
    """Open (or create) a storage.

    Args:
        url: As Optuna and SQLAlchemy take it. The folder of a SQLite file is made where it is missing.

    Raises:
        XaipruneError: The file is no database, or the server does not answer.
    """
    path = sqlite_file(url)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if path is not None:
        _check_sqlite(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    if url.startswith("sqlite"):
        options = {"connect_args": {"timeout": LOCK_SECONDS}}
    with plain_errors(url), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            storage = RDBStorage(
                absolute_url(url),
                engine_kwargs=options,
                heartbeat_interval=stale.BEAT_SECONDS,
                grace_period=stale.GRACE_SECONDS,
                heartbeat_stale_trial_callback=stale.retry,
            )
            if path is not None:
                _write_ahead(storage)
            return storage
        except (NoSuchModuleError, ImportError) as error:
            raise XaipruneError(
                f"study.storage={_shown(url)}: no driver for it ({error}); install it"
            ) from error
        except RuntimeError as error:  # Optuna's: another version made the tables
            raise XaipruneError(
                f"study.storage={_shown(url)} was made by another Optuna ({_line(error)}); "
                "use that version, upgrade with 'optuna storage upgrade', or choose another study.storage"
            ) from error


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Only one process at a time creates tables and studies in a SQLite file; servers see to it themselves.

    Raises:
        XaipruneError: Another process has held the lock for too long.
    """
    path = sqlite_file(url)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    try:
        with FileLock(lock, timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise XaipruneError(
            f"{lock} has been held for {LOCK_SECONDS} s by another xaiprune on the same storage; end it"
        ) from None


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
        raise XaipruneError(f"study.storage={_shown(url)}: {_explained(_line(cause))}") from error


def _write_ahead(storage: RDBStorage) -> None:
    """Let SQLite append to a log instead of waiting for the disk at each of a trial's thirty commits.

    Killed processes lose nothing by it; a power cut can lose the last trials, never the database.
    """

    def relax(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    with storage.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    event.listen(storage.engine, "connect", relax)
    storage.engine.dispose()  # what is open already has not been told


def _explained(message: str) -> str:
    if "locked" in message:
        return (
            f"{message} for {LOCK_SECONDS} s; another process writes to it (see 'fuser' or 'lsof'), "
            "or the file lies on a network drive without locks"
        )
    if "not a database" in message or "malformed" in message:
        return f"{message}; the file is damaged: restore a copy, or choose another study.storage"
    if "full" in message or "disk I/O" in message:
        return f"{message}; free some space and run the same command again, finished trials are kept"
    return message


def _check_sqlite(path: Path) -> None:
    """Refuse what is there but is no database, before anything touches it."""
    if path.is_dir():
        raise XaipruneError(f"study.storage: {path} is a folder, not a database file")
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            header = file.read(len(_SQLITE_HEADER))
    except OSError as error:
        raise XaipruneError(f"study.storage: {path} cannot be read ({error.strerror})") from error
    if header and header != _SQLITE_HEADER:
        raise XaipruneError(
            f"study.storage: {path} is no SQLite database (left untouched); choose another study.storage"
        )


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


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
