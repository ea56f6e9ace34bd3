"""Layer-wise relevance propagation: exact, generic, one forward for many composites."""

from xaiprune.attribute.lrp.composite import Composite, LayerInfo, Match, make_rule
from xaiprune.attribute.lrp.composite_io import load_composite, save_composite
from xaiprune.attribute.lrp.recorder import TapPoint
from xaiprune.attribute.lrp.recording import Recording, example_images, relevance_at, trace_layers
from xaiprune.attribute.lrp.rules import (
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
from xaiprune.attribute.lrp.to_zennit import to_zennit, zennit_code

__all__ = [
    "RULES",
    "AlphaBeta",
    "Composite",
    "Epsilon",
    "Flat",
    "Gamma",
    "LayerInfo",
    "Match",
    "Recording",
    "Rule",
    "TapPoint",
    "WSquare",
    "ZBox",
    "ZPlus",
    "example_images",
    "load_composite",
    "make_rule",
    "relevance_at",
    "save_composite",
    "to_zennit",
    "trace_layers",
    "zennit_code",
]
