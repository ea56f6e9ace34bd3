"""Layer-wise relevance propagation: exact, generic, one forward for many composites."""

from xaiprune.attribution.lrp.composite import (
    PLAIN_GRADIENT,
    Composite,
    DepthGroup,
    LayerInfo,
    LayerType,
    Match,
    Softmax,
    make_rule,
)
from xaiprune.attribution.lrp.composite_io import (
    composite_from_dict,
    composite_to_dict,
    load_composite,
    save_composite,
)
from xaiprune.attribution.lrp.engine.linear_call import LinearCall, WeightCache
from xaiprune.attribution.lrp.engine.recorder import Constant, Op, Recorder, TapPoint
from xaiprune.attribution.lrp.engine.recording import Recording, relevance_at, trace_layers
from xaiprune.attribution.lrp.engine.tags import Tag, set_tag, tag_of
from xaiprune.attribution.lrp.rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, WSquare, ZBox, ZPlus
from xaiprune.attribution.lrp.to_zennit import to_zennit, zennit_code
from xaiprune.registry import OPERATIONS, RULES, register_operation, register_rule

__all__ = [
    "OPERATIONS",
    "PLAIN_GRADIENT",
    "RULES",
    "AlphaBeta",
    "Composite",
    "Constant",
    "DepthGroup",
    "Epsilon",
    "Flat",
    "Gamma",
    "LayerInfo",
    "LayerType",
    "LinearCall",
    "Match",
    "Op",
    "Recorder",
    "Recording",
    "Rule",
    "Softmax",
    "Tag",
    "TapPoint",
    "WSquare",
    "WeightCache",
    "ZBox",
    "ZPlus",
    "composite_from_dict",
    "composite_to_dict",
    "load_composite",
    "make_rule",
    "register_operation",
    "register_rule",
    "relevance_at",
    "save_composite",
    "set_tag",
    "tag_of",
    "to_zennit",
    "trace_layers",
    "zennit_code",
]
