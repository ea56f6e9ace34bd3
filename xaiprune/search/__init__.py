"""The search: spaces of composites, trials, and studies that resume."""

from xaiprune.callable_room import make_callable
from xaiprune.search.context import Context
from xaiprune.search.fingerprint import fingerprint_of
from xaiprune.search.inverse import NotInSpace, params_of
from xaiprune.search.loop import Ending, run_trials
from xaiprune.search.objective import OBJECTIVES, Objective
from xaiprune.search.opening import open_context
from xaiprune.search.proposal import Proposal
from xaiprune.search.run import compare, search
from xaiprune.search.space import Space
from xaiprune.search.space_io import read_space
from xaiprune.search.study import (
    Counts,
    best_trial,
    counts,
    load_study,
    open_study,
    proposal_of,
    storage_url,
    value_text,
)
from xaiprune.search.suggest import suggest

__all__ = [
    "OBJECTIVES",
    "Context",
    "Counts",
    "Ending",
    "NotInSpace",
    "Objective",
    "Proposal",
    "Space",
    "best_trial",
    "compare",
    "counts",
    "fingerprint_of",
    "load_study",
    "open_context",
    "open_study",
    "params_of",
    "proposal_of",
    "read_space",
    "run_trials",
    "search",
    "storage_url",
    "suggest",
    "value_text",
]

make_callable(__name__)
