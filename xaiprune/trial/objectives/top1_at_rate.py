"""Top-1 at ``prune.rate``, or the mean over ``objective.rates``."""

from xaiprune.registry import register_objective
from xaiprune.trial.objective import Objective


@register_objective("top1_at_rate")
class Top1AtRate(Objective):
    """Top-1 on the validation images, a fraction."""
