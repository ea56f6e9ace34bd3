"""Plans, masks, removal and compensation: from scores to a smaller network."""

from xaiprune.prune.mask import masked
from xaiprune.prune.plan import Plan, make_plan

__all__ = ["Plan", "make_plan", "masked"]
