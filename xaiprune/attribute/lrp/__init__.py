"""Layer-wise relevance propagation: exact, generic, one forward for many composites."""

from xaiprune.attribute.lrp.composite import Composite, LayerInfo, Match, make_rule
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
    "make_rule",
    "relevance_at",
    "trace_layers",
]
