from .best import (
    BEST_FILE,
    best_recipe,
    command_of,
    notes_of,
    save_best,
    save_trial,
    whole_recipe,
)
from .dense import dense_accuracy
from .fingerprint import (
    check_same,
    fingerprint_of,
    images_noted,
    session_fingerprint,
    stored_fingerprint,
    stored_prune,
)
from .interrupt import graceful
from .loop import Ending, run_trials
from .notes import RUNS, network_of
from .racing import racing_text
from .run import named_after, search
from .selection import distinct_trials, finished_trial, front
from .setup import check_compatible, open_search
from .software import versions
from .stored import (
    SCHEMA,
    check_schema,
    is_ours,
    load_study,
    storage_url,
    study_if_there,
    where_stored,
)
from .study import open_study
from .threads import fitting_threads
from .trials import (
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
    "images_noted",
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
    "study_if_there",
    "value_text",
    "versions",
    "where_stored",
    "whole_recipe",
]
