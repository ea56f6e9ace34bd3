"""As many CPU threads as a search's network can use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from xaiprune.session.session import Context


@contextmanager
def fitting_threads(context: Context) -> Iterator[None]:
    """One thread for a small network, unless the configuration says how many.

    Its threads would wait for each other longer than they work, and ten times as long on a busy machine.
    """
    before = torch.get_num_threads()
    if context.config.threads is None and context.is_small:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
