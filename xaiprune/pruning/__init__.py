"""Plans, masks, removal and compensation: from scores to a smaller network."""

from xaiprune.pruning.apply import BN, apply_plan
from xaiprune.pruning.compensation import COMPENSATIONS, compensate, inputs_of, samples_of, statistics_of
from xaiprune.pruning.divergence import divergences
from xaiprune.pruning.io import (
    ONNX,
    architecture_of,
    check_folder,
    export_onnx,
    load_pruned,
    load_pruned_plan,
    save_pruned,
)
from xaiprune.pruning.iterative import Rank, iterative_plan
from xaiprune.pruning.joint import JOINT, ORDERS, Divergences, JointOrder, why_no_joint_order
from xaiprune.pruning.mask import masked
from xaiprune.pruning.plan import BUDGETS, PER, SCOPES, Plan, PlanLike, make_plan, per_cost, plan_from_dict
from xaiprune.pruning.removal import (
    BatchNormStatistics,
    Removal,
    couple,
    has_batchnorm,
    recalibrate_bn_,
    remove,
    remove_with_report,
)
from xaiprune.pruning.statistics import DenseSamples, ImageStream, Inputs, Statistics

__all__ = [
    "BN",
    "BUDGETS",
    "COMPENSATIONS",
    "JOINT",
    "ONNX",
    "ORDERS",
    "PER",
    "SCOPES",
    "BatchNormStatistics",
    "DenseSamples",
    "Divergences",
    "ImageStream",
    "Inputs",
    "JointOrder",
    "Plan",
    "PlanLike",
    "Rank",
    "Removal",
    "Statistics",
    "apply_plan",
    "architecture_of",
    "check_folder",
    "compensate",
    "couple",
    "divergences",
    "export_onnx",
    "has_batchnorm",
    "inputs_of",
    "iterative_plan",
    "load_pruned",
    "load_pruned_plan",
    "make_plan",
    "masked",
    "per_cost",
    "plan_from_dict",
    "recalibrate_bn_",
    "remove",
    "remove_with_report",
    "samples_of",
    "save_pruned",
    "statistics_of",
    "why_no_joint_order",
]
