"""Makes networks smaller: cuts channels and heads out of tensors, or zeroes them where that is impossible."""

from xaiprune.pruning.removal.attention import SelfAttention, replace_attention_, replace_multihead_
from xaiprune.pruning.removal.batchnorm import (
    BatchNormStatistics,
    batch_statistics,
    has_batchnorm,
    recalibrate_bn_,
)
from xaiprune.pruning.removal.coupling import couple
from xaiprune.pruning.removal.cut import Removal, remove, remove_with_report
from xaiprune.pruning.removal.fold import add_to_output_

__all__ = [
    "BatchNormStatistics",
    "Removal",
    "SelfAttention",
    "add_to_output_",
    "batch_statistics",
    "couple",
    "has_batchnorm",
    "recalibrate_bn_",
    "remove",
    "remove_with_report",
    "replace_attention_",
    "replace_multihead_",
]
