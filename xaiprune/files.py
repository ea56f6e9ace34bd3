"""Writing files so that they are complete, or as they were before."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xaiprune.errors import XaipruneError


def require_writable(folder: Path, key: str) -> None:
    """Refuse, before any work, a folder that nothing can be written to.

    Args:
        folder: It need not exist; then its nearest parent that does is tried.
        key: What names it.

    Raises:
        XaipruneError: Says why not.
    """
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise XaipruneError(
            f"{key}: nothing can be written to {place} ({error.strerror}); allow it or choose another folder"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it takes ``path``'s place once the block has ended well.

    Args:
        path: The file to write; its folder is made where it is missing.

    Yields:
        The temporary path, with the suffix of ``path`` (some writers choose the format by it).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are for their owner only
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder`` to fill; it takes its place once the block has ended well.

    Args:
        folder: The folder to write; its parents are made where they are missing. If it exists, it is replaced
            with all that is in it.

    Yields:
        The temporary folder, empty.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    old = temporary.with_name(f"{temporary.name}.old")
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())  # mkdtemp's folders are for their owner only
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(temporary, ignore_errors=True)


def compact_json(data: Any, depth: int = 0) -> str:
    """JSON text with a line for each entry of an object; lists, and what is two objects deep, in one line.

    Args:
        data: Plain data with keys that are texts.
        depth: Of ``data`` in the objects around it.
    """
    if not isinstance(data, dict) or not data:
        return json.dumps(data)
    if depth > 1 and not any(isinstance(value, dict) for value in data.values()):
        return json.dumps(data)
    entries = [f"{json.dumps(key)}: {compact_json(value, depth + 1)}" for key, value in data.items()]
    inside, end = "\n" + " " * (depth + 1), "\n" + " " * depth
    return "{" + inside + f",{inside}".join(entries) + end + "}"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
