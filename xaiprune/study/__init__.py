"""Studies: run, resumed, compared with what they were, and their best trial."""

from xaiprune.study.best import (
    BEST_FILE,
    best_recipe,
    command_of,
    notes_of,
    save_best,
    save_trial,
    whole_recipe,
)
from xaiprune.study.dense import dense_accuracy
from xaiprune.study.fingerprint import (
    check_same,
    fingerprint_of,
    session_fingerprint,
    stored_fingerprint,
    stored_prune,
)
from xaiprune.study.interrupt import graceful
from xaiprune.study.loop import Ending, run_trials
from xaiprune.study.notes import RUNS, network_of
from xaiprune.study.racing import racing_text
from xaiprune.study.run import named_after, search
from xaiprune.study.selection import distinct_trials, finished_trial, front
from xaiprune.study.setup import check_compatible, open_search
from xaiprune.study.study import SCHEMA, check_schema, is_ours, load_study, open_study, storage_url
from xaiprune.study.threads import fitting_threads
from xaiprune.study.trials import (
    Counts,
    best_trial,
    counts,
    first_value,
    is_feasible,
    merit,
    minimises,
    recipe_of,
    value_text,
)
from xaiprune.study.versions import versions

__all__ = [
    "BEST_FILE",
    "RUNS",
    "SCHEMA",
    "Counts",
    "Ending",
    "best_recipe",
    "best_trial",
    "check_compatible",
    "check_same",
    "check_schema",
    "command_of",
    "counts",
    "dense_accuracy",
    "distinct_trials",
    "fingerprint_of",
    "finished_trial",
    "first_value",
    "fitting_threads",
    "front",
    "graceful",
    "is_feasible",
    "is_ours",
    "load_study",
    "merit",
    "minimises",
    "named_after",
    "network_of",
    "notes_of",
    "open_search",
    "open_study",
    "racing_text",
    "recipe_of",
    "run_trials",
    "save_best",
    "save_trial",
    "search",
    "session_fingerprint",
    "storage_url",
    "stored_fingerprint",
    "stored_prune",
    "value_text",
    "versions",
    "whole_recipe",
]
