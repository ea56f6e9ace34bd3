"""SQLite files that are only read, also where nothing may be written: not to the file, nor beside it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

_JOURNAL_MODES = slice(18, 20)  # bytes of the header (sqlite.org/fileformat2.html, 1.3.3)
_WRITE_AHEAD = b"\x02\x02"


def may_write(path: Path) -> bool:
    """Whether this process may write to a file, and to the folder that it is in."""
    effective = os.access in os.supports_effective_ids
    return all(os.access(place, os.W_OK, effective_ids=effective) for place in (path, path.parent))


def connect_to_read(path: Path, timeout: float) -> sqlite3.Connection:
    """Open a database so that nothing is written to it or beside it.

    A database with a write-ahead log, as ours have, is opened by making two files beside it. Where that is
    not allowed and none are there, so that nobody writes, SQLite is told that the file does not change.

    Args:
        path: Of a file that exists.
        timeout: Seconds to wait for a lock.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    still = not may_write(path) and not Path(f"{path}-wal").exists() and _has_log(path)
    uri = f"{path.as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    return sqlite3.connect(uri, uri=True, timeout=timeout, check_same_thread=False)


def _has_log(path: Path) -> bool:
    # Only where the file may not be written to: closing it drops this process's own locks on it.
    with path.open("rb") as file:
        return file.read(_JOURNAL_MODES.stop)[_JOURNAL_MODES] == _WRITE_AHEAD
