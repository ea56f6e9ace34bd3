"""As many CPU threads as a session's network can use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from xaiprune.session import PruningSession

_SMALL = 4e7  # MACs of one image


@contextmanager
def fitting_threads(session: PruningSession, configured: int | None) -> Iterator[None]:
    """One thread for a small network, unless the configuration says how many.

    Its threads would wait for each other longer than they work, and ten times as long on a busy machine.

    Args:
        session: Of the network.
        configured: ``threads``.
    """
    before = torch.get_num_threads()
    on_cpu = session.device.type == "cpu"
    if configured is None and on_cpu and session.dense.cost().macs < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
