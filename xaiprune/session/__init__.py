"""A session: network, data, units and caches that recipes run on."""

from xaiprune.session.agreement import scored_by_agreement
from xaiprune.session.caches import LATENCY_BATCH, BatchSizes, Caches, DenseNetwork
from xaiprune.session.flipping import flip_patches
from xaiprune.session.labels import coverage
from xaiprune.session.one_call import prune
from xaiprune.session.opening import limited, open_session, open_setup, opened_units, shuffled
from xaiprune.session.outcome import Outcome, about_references, apply_and_measure
from xaiprune.session.pruned import Pruned
from xaiprune.session.session import PruningSession

__all__ = [
    "LATENCY_BATCH",
    "BatchSizes",
    "Caches",
    "DenseNetwork",
    "Outcome",
    "Pruned",
    "PruningSession",
    "about_references",
    "apply_and_measure",
    "coverage",
    "flip_patches",
    "limited",
    "open_session",
    "open_setup",
    "opened_units",
    "prune",
    "scored_by_agreement",
    "shuffled",
]
