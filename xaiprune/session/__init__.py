"""A session: network, data, units and caches that recipes run on."""

from xaiprune.session.caches import BatchSizes, Caches
from xaiprune.session.opening import limited, open_session, open_setup, shuffled
from xaiprune.session.session import LATENCY_BATCH, Pruned, PruningSession

__all__ = [
    "LATENCY_BATCH",
    "BatchSizes",
    "Caches",
    "Pruned",
    "PruningSession",
    "limited",
    "open_session",
    "open_setup",
    "shuffled",
]
