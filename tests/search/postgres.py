"""A PostgreSQL server of our own: on loopback, in a temporary folder, gone when the tests are."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path


class Unavailable(Exception):
    """Why there can be no server here."""


class Postgres:
    """A cluster in a folder.

    Args:
        folder: Empty, for the cluster alone; what lies above it must be open to others (mode 711) where the
            tests run as root.

    Raises:
        Unavailable: No binaries, or nobody to run them as.
    """

    def __init__(self, folder: Path) -> None:
        found = sorted(
            Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: path.parts[4].zfill(4)
        )
        on_path = shutil.which("pg_ctl")
        if not found and on_path is None:
            raise Unavailable("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        self._bin = (found[-1] if found else Path(str(on_path))).parent
        self._data = folder / "data"
        self._sockets = folder
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            try:
                shutil.chown(folder, self._user)
            except LookupError as error:
                raise Unavailable("the tests run as root, and there is no user postgres") from error
        self._run("initdb", "-D", self._data, "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.port = _free_port()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self._sockets} -F"
        self._run(
            "pg_ctl", "-D", self._data, "-l", self._data / "log", "-w", "-t", "60", "-o", options, "start"
        )

    def stop(self) -> None:
        """Stop it at once: connections are cut."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def new_database(self, name: str) -> str:
        """Create an empty database; its URL, as people would type it."""
        connect = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "tester")
        self._run("createdb", *connect, name)
        return f"postgresql://tester@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._bin / program), *map(str, arguments)]
        # pg_ctl's server would keep a pipe open for as long as it runs.
        with (self._sockets / f"{program}.out").open("w") as out:
            ended = subprocess.run(command, stdout=out, stderr=out, user=self._user, cwd=self._sockets)
        if ended.returncode:
            raise RuntimeError(f"{program}: {(self._sockets / f'{program}.out').read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
