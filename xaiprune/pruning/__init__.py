"""Plans, masks, removal and compensation: from scores to a smaller network."""

from xaiprune.pruning.apply import apply_plan
from xaiprune.pruning.compensation import COMPENSATIONS, compensate, samples_of, statistics_of
from xaiprune.pruning.io.onnx import ONNX, export_onnx
from xaiprune.pruning.io.store import (
    architecture_of,
    check_folder,
    load_pruned,
    load_pruned_plan,
    save_pruned,
)
from xaiprune.pruning.iterative import Rank, iterative_plan, joint_rank
from xaiprune.pruning.joint import ORDERS, JointOrder
from xaiprune.pruning.mask import masked
from xaiprune.pruning.plan import SCOPES, Plan, make_plan
from xaiprune.pruning.removal.batchnorm import recalibrate_bn_
from xaiprune.pruning.removal.couple import couple
from xaiprune.pruning.removal.cut import Removal, remove, remove_units
from xaiprune.pruning.statistics.moments import Statistics
from xaiprune.pruning.statistics.samples import DenseSamples

__all__ = [
    "COMPENSATIONS",
    "ONNX",
    "ORDERS",
    "SCOPES",
    "DenseSamples",
    "JointOrder",
    "Plan",
    "Rank",
    "Removal",
    "Statistics",
    "apply_plan",
    "architecture_of",
    "check_folder",
    "compensate",
    "couple",
    "export_onnx",
    "iterative_plan",
    "joint_rank",
    "load_pruned",
    "load_pruned_plan",
    "make_plan",
    "masked",
    "recalibrate_bn_",
    "remove",
    "remove_units",
    "samples_of",
    "save_pruned",
    "statistics_of",
]
