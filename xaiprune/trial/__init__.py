"""One trial: objectives, measurements, racing, and the cache of scores."""

from xaiprune.trial.cache import Score, ScoreCache
from xaiprune.trial.constraint import COSTS, Constraint, constraint_of
from xaiprune.trial.measure import Measurement
from xaiprune.trial.objective import Objective, objective_of
from xaiprune.trial.race import Race, saved
from xaiprune.trial.result import Result, Stopwatch
from xaiprune.trial.run import attributes, run_trial
from xaiprune.trial.setup import SearchSetup

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
