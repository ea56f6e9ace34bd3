"""Ctrl-C with manners: once to end after the running trial, twice to end at once."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)


@dataclass
class Stop:
    """Whether somebody has asked to end."""

    asked: bool = False


@contextmanager
def graceful() -> Iterator[Stop]:
    """Take SIGINT and SIGTERM for a wish to end; the second one raises KeyboardInterrupt.

    Outside the main thread Python has no say over signals, and nothing changes.
    """
    stop = Stop()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        log.warning("ending after the running trial; once more to end at once")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {
        number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
