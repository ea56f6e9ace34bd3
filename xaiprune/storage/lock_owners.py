"""Who holds a lock on a SQLite file, so that an error can name the process to look for."""

from __future__ import annotations

from pathlib import Path


def lock_owners(path: Path) -> list[str]:
    """``process 4711 (python)`` for each process of this machine that holds a lock on the file or its logs.

    Args:
        path: The database.

    Returns:
        Nothing where there is none, or where the system does not tell (it is not Linux).
    """
    files = [path.with_name(path.name + suffix) for suffix in ("", "-shm", "-wal")]
    inodes = {str(file.stat().st_ino) for file in files if file.exists()}
    found = set()
    for line in _read("/proc/locks").splitlines():
        # "1: POSIX  ADVISORY  WRITE 4711 fe:00:131 0 EOF"; one that waits has "->" after the number
        fields = line.split()
        if "->" not in fields and len(fields) > 5 and fields[5].rpartition(":")[2] in inodes:
            found.add(int(fields[4]))
    return [f"process {pid}{_name(pid)}" for pid in sorted(found) if pid > 0]


def _name(pid: int) -> str:
    name = _read(f"/proc/{pid}/comm").strip()
    return f" ({name})" if name else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
