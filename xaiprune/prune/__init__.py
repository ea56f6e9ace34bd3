"""Plans, masks, removal and compensation: from scores to a smaller network."""

from xaiprune.prune.batchnorm import recalibrate_bn_
from xaiprune.prune.carry_out import carry_out
from xaiprune.prune.compensate import compensate, samples_of, statistics_of
from xaiprune.prune.couple import couple
from xaiprune.prune.iterative import Rank, iterative_plan, joint_rank
from xaiprune.prune.joint import JointOrder
from xaiprune.prune.mask import masked
from xaiprune.prune.moments import Statistics
from xaiprune.prune.onnx import export_onnx
from xaiprune.prune.plan import Plan, make_plan
from xaiprune.prune.remove import Removal, removal, remove
from xaiprune.prune.samples import DenseSamples
from xaiprune.prune.store import architecture_of, check_folder, load_pruned, load_pruned_plan, save_pruned

__all__ = [
    "DenseSamples",
    "JointOrder",
    "Plan",
    "Rank",
    "Removal",
    "Statistics",
    "architecture_of",
    "carry_out",
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
    "removal",
    "remove",
    "samples_of",
    "save_pruned",
    "statistics_of",
]
