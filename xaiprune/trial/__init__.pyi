from .cache import Score, ScoreCache
from .constraint import COSTS, Constraint, constraint_of
from .measure import Measurement
from .objective import Objective, objective_of
from .race import Race, saved
from .result import Result, Stopwatch
from .run import attributes, run_trial
from .setup import SearchSetup

__all__ = [
    "COSTS",
    "Constraint",
    "Measurement",
    "Objective",
    "Race",
    "Result",
    "Score",
    "ScoreCache",
    "SearchSetup",
    "Stopwatch",
    "attributes",
    "constraint_of",
    "objective_of",
    "run_trial",
    "saved",
]
