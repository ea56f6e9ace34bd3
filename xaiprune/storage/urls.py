"""Storage URLs: what people type, as Optuna and SQLAlchemy need it, and as it may be shown."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from xaiprune.errors import XaipruneError

JOURNAL = "journal"
# The drivers that our extras install; SQLAlchemy's own defaults are others.
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}


def absolute_url(url: str) -> str:
    """A storage's URL in full: an absolute path for a file, a driver for a server.

    Raises:
        XaipruneError: It is no URL.
    """
    parsed = _parsed(url)
    if (path := storage_file(url)) is not None:
        return file_url(path, parsed.drivername)
    if parsed.drivername in _DRIVERS:
        parsed = parsed.set(drivername=_DRIVERS[parsed.drivername])
        return parsed.render_as_string(hide_password=False)
    return url


def shown(url: str) -> str:
    """The URL without its password, readable as a file (SQLAlchemy writes ``%C3%A4`` for ``ä``)."""
    parsed = _parsed(url)
    if storage_file(url) is None or parsed.query:
        return parsed.render_as_string(hide_password=True)
    return file_url(str(parsed.database), parsed.drivername)


def file_url(path: str | Path, driver: str = "sqlite") -> str:
    """The URL of a file; ``?`` and ``%`` mean something in URLs."""
    escaped = str(path).replace("%", "%25").replace("?", "%3F")
    return f"{driver}:///{escaped}"


def storage_file(url: str) -> Path | None:
    """The absolute path of a SQLite or journal file; None for servers and for SQLite in memory.

    Raises:
        XaipruneError: It is no URL.
    """
    return sqlite_file(url) or journal_file(url)


def sqlite_file(url: str) -> Path | None:
    """The absolute path of a SQLite storage; None for other storages and for one in memory.

    Raises:
        XaipruneError: It is no URL.
    """
    return None if (parsed := _parsed(url)).database == ":memory:" else _file(parsed, "sqlite")


def journal_file(url: str) -> Path | None:
    """The absolute path of a journal file; None for other storages.

    Raises:
        XaipruneError: It is no URL, or a journal without a file.
    """
    parsed = _parsed(url)
    path = _file(parsed, JOURNAL)
    if path is None and parsed.drivername == JOURNAL:
        raise XaipruneError(
            f"study.storage={url} names no file; a journal is written journal:///studies/NAME.log"
        )
    return path


def is_server(url: str) -> bool:
    """Whether the storage is a database server."""
    return _parsed(url).get_backend_name() in _EXTRAS


def require_driver(url: str) -> None:
    """Refuse a database that nothing installed here can talk to.

    Raises:
        XaipruneError: Names the extra that brings the driver, where there is one.
    """
    parsed = _parsed(absolute_url(url))
    try:
        parsed.get_dialect().import_dbapi()
    except (NoSuchModuleError, ImportError) as error:
        extra = _EXTRAS.get(parsed.get_backend_name())
        way = f"pip install 'xaiprune[{extra}]'" if extra else "install it"
        raise XaipruneError(f"study.storage={shown(url)}: no driver for it ({error}); {way}") from error


def _file(parsed: URL, backend: str) -> Path | None:
    if parsed.drivername.partition("+")[0] != backend or not parsed.database:
        return None
    return Path(parsed.database).expanduser().absolute()


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise XaipruneError(
            f"study.storage={url} is no database URL; a file is written sqlite:///studies/NAME.db"
        ) from None
