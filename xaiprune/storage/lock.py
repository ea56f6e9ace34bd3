"""One process at a time creates tables and studies and takes trials: not every storage bears two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from optuna.storages.journal import JournalFileOpenLock
from sqlalchemy import Connection, create_engine, text

from xaiprune.errors import XaipruneError
from xaiprune.storage.urls import absolute_url, is_server, journal_file, require_driver, shown, sqlite_file

_SECONDS = 120
_POSTGRES_KEY = 0x7861697072  # any number that others do not use, the same for all of us
_MYSQL_KEY = "xaiprune"


@contextmanager
def storage_lock(url: str) -> Iterator[None]:
    """Wait for one's turn, and hold it until the block ends.

    A dead owner does not block: locks of SQLite and of servers end with their process, a journal's is
    broken after 30 s.

    Raises:
        XaipruneError: Another process has held it for too long.
    """
    if (path := sqlite_file(url)) is not None:
        with _file_locked(path):
            yield
    elif (path := journal_file(url)) is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = JournalFileOpenLock(f"{path}.setup")  # works on network drives, too
        lock.acquire()
        try:
            yield
        finally:
            lock.release()
    elif is_server(url):
        require_driver(url)
        engine = create_engine(absolute_url(url))
        try:
            with engine.connect() as connection:
                _server_locked(connection, url)
                yield
        finally:
            engine.dispose()  # the lock ends with the connection
    else:
        yield  # in memory


@contextmanager
def _file_locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    try:
        with FileLock(lock, timeout=_SECONDS):
            yield
    except PermissionError as error:
        raise XaipruneError(
            f"study.storage: nothing can be written to {path.parent} ({error.strerror}); allow it, or choose "
            "another study.storage"
        ) from error
    except Timeout:
        raise XaipruneError(
            f"{lock} has been held for {_SECONDS} s by another xaiprune on the same storage; end it"
        ) from None


def _server_locked(connection: Connection, url: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET lock_timeout = '{_SECONDS}s'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _POSTGRES_KEY})
        return
    held = connection.execute(text("SELECT GET_LOCK(:key, :wait)"), {"key": _MYSQL_KEY, "wait": _SECONDS})
    if held.scalar() != 1:
        raise XaipruneError(
            f"study.storage={shown(url)} has been held for {_SECONDS} s by another xaiprune; end it"
        )
