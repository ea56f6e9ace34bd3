"""Layer-wise relevance propagation: exact, generic, one forward for many composites."""

from xaiprune.attribution.lrp.composite import (
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
from xaiprune.attribution.lrp.recorder import TapPoint
from xaiprune.attribution.lrp.recording import Recording, example_images, relevance_at, trace_layers
from xaiprune.attribution.lrp.rules import (
    RULES,
    AlphaBeta,
    Epsilon,
    Flat,
    Gamma,
    Rule,
    WSquare,
    ZBox,
    ZPlus,
)
from xaiprune.attribution.lrp.to_zennit import to_zennit, zennit_code

__all__ = [
    "RULES",
    "AlphaBeta",
    "Composite",
    "DepthGroup",
    "Epsilon",
    "Flat",
    "Gamma",
    "LayerInfo",
    "LayerType",
    "Match",
    "Recording",
    "Rule",
    "Softmax",
    "TapPoint",
    "WSquare",
    "ZBox",
    "ZPlus",
    "composite_from_dict",
    "composite_to_dict",
    "example_images",
    "load_composite",
    "make_rule",
    "relevance_at",
    "save_composite",
    "to_zennit",
    "trace_layers",
    "zennit_code",
]
