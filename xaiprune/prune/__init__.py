"""Plans, masks, removal and compensation: from scores to a smaller network."""

from xaiprune.prune.compensate import compensate, statistics_of
from xaiprune.prune.mask import masked
from xaiprune.prune.plan import Plan, make_plan
from xaiprune.prune.remove import Removal, removal, remove

__all__ = ["Plan", "Removal", "compensate", "make_plan", "masked", "removal", "remove", "statistics_of"]
