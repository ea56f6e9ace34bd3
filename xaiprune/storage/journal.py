"""Optuna's journal file: a storage for shared file systems, where SQLite's locks cannot be trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from xaiprune.errors import XaipruneError


def open_journal(path: Path) -> JournalStorage:
    """Open (or create) a journal.

    Raises:
        XaipruneError: There is something else by that name.
    """
    if path.is_dir():
        raise XaipruneError(f"study.storage: {path} is a folder, not a journal file")
    if path.exists() and path.stat().st_size and not is_journal(path):
        raise XaipruneError(
            f"study.storage: {path} is no journal of Optuna's (left untouched); choose another study.storage"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return JournalStorage(_File(path))
    except OSError as error:
        raise XaipruneError(f"study.storage: {path} cannot be opened ({error.strerror})") from error
    except (AssertionError, AttributeError, KeyError, TypeError) as error:  # lines that make no sense
        raise StorageInternalError(f"malformed journal: {type(error).__name__} {error}") from None


def is_journal(path: Path) -> bool:
    """Whether the first line of a file is one of a journal.

    Raises:
        XaipruneError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            first = json.loads(file.readline(1_000_000))
    except OSError as error:
        raise XaipruneError(f"study.storage: {path} cannot be read ({error.strerror})") from error
    except ValueError:
        return False
    return isinstance(first, dict) and "op_code" in first


class _File(JournalFileBackend):
    """Optuna's file, whose troubles are the storage's and not some trial's."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), lock_obj=_MendingLock(path))

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        try:
            yield from super().read_logs(log_number_from)
        except OSError as error:
            raise StorageInternalError(str(error)) from error
        except ValueError as error:
            raise StorageInternalError(f"malformed journal: {error}") from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise StorageInternalError(str(error)) from error


class _MendingLock(JournalFileSymlinkLock):
    """Takes back what a full disk or a crash has left of a line, before another is appended to it."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def acquire(self) -> bool:
        acquired = super().acquire()
        try:
            _cut_unfinished_line(self._path)
        except BaseException:
            self.release()
            raise
        return acquired


def _cut_unfinished_line(path: Path) -> None:
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            block = file.read(end - start)
            if (found := block.rfind(b"\n")) >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
