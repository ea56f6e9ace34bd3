"""Finds a network's unit layers (filters, neurons, heads) and the layers that read them."""

from xaiprune.forward import evaluating
from xaiprune.units.attention import Attention, find_attention
from xaiprune.units.auto import AUTO, auto_kind
from xaiprune.units.batch_norm import BatchNormWrittenOut
from xaiprune.units.calls import in_execution_order, is_classifier, layer_calls, tap_of
from xaiprune.units.copying import copied
from xaiprune.units.costs import unit_costs
from xaiprune.units.cutting import FORWARD_ERRORS, cut_, merged
from xaiprune.units.find import find_units
from xaiprune.units.flow import Flow, Op, default_example, device_of, trace
from xaiprune.units.head_sizes import infer_sizes
from xaiprune.units.heads import record_calls, shrink_heads_
from xaiprune.units.image_axis import ImageAxis, find_image_axis, image_axes
from xaiprune.units.layer import UnitLayer
from xaiprune.units.links import Links, find_links
from xaiprune.units.reach import Consumer, Reach, reach
from xaiprune.units.slices import Cuts, Slices
from xaiprune.units.streams import find_streams
from xaiprune.units.weights import is_linear, weight_dim, weight_of

__all__ = [
    "AUTO",
    "FORWARD_ERRORS",
    "Attention",
    "BatchNormWrittenOut",
    "Consumer",
    "Cuts",
    "Flow",
    "ImageAxis",
    "Links",
    "Op",
    "Reach",
    "Slices",
    "UnitLayer",
    "auto_kind",
    "copied",
    "cut_",
    "default_example",
    "device_of",
    "evaluating",
    "find_attention",
    "find_image_axis",
    "find_links",
    "find_streams",
    "find_units",
    "image_axes",
    "in_execution_order",
    "infer_sizes",
    "is_classifier",
    "is_linear",
    "layer_calls",
    "merged",
    "reach",
    "record_calls",
    "shrink_heads_",
    "tap_of",
    "trace",
    "unit_costs",
    "weight_dim",
    "weight_of",
]
