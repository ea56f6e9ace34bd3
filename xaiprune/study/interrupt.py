"""Ctrl-C: once to end after the running trial, twice to end at once."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)


@dataclass
class Stop:
    """Whether the search has been asked to end.

    Attributes:
        signalled: Asked by a signal to this process.
        flag: Asked of all workers of a study by a file of this name: it reaches other machines, too.
    """

    signalled: bool = False
    flag: Path | None = None

    @property
    def asked(self) -> bool:
        """By a signal or by the file."""
        return self.signalled or (self.flag is not None and self.flag.exists())


@contextmanager
def graceful(flag: Path | None = None, *, leads: bool = False) -> Iterator[Stop]:
    """On SIGINT or SIGTERM ask to end; the second one raises KeyboardInterrupt.

    Outside the main thread Python cannot handle signals, and nothing changes.

    Args:
        flag: File that tells all workers of a study to end. A terminal sends Ctrl-C to every process; a
            worker ignores it and checks for the file, which the leading process creates. leads: This process
            leads the others and creates the file.
    """
    stop = Stop(flag=flag)

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.signalled:
            raise KeyboardInterrupt
        stop.signalled = True
        if flag is not None and leads:
            flag.parent.mkdir(parents=True, exist_ok=True)
            flag.touch()
        running = "the running trials" if leads else "the running trial"
        log.warning("ending after %s; once more to end at once", running)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {
        number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
    }
    if flag is not None and not leads:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
