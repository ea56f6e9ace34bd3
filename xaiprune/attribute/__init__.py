"""Relevance of units: LRP (`attribute.lrp`), baselines (`attribute.criteria`), and their scores."""

from xaiprune.attribute.attribution import Start, attribute
from xaiprune.attribute.criteria.registry import CRITERIA, Scores, criterion
from xaiprune.attribute.criteria.registry import register as register_criterion
from xaiprune.attribute.heatmap import heatmaps
from xaiprune.attribute.lrp.composite import Composite, Match, make_rule
from xaiprune.attribute.lrp.composite_io import load_composite, save_composite
from xaiprune.attribute.presets import PRESETS, Preset
from xaiprune.attribute.relevance import Aggregation, Relevance, aggregate
from xaiprune.callable_room import make_callable

__all__ = [
    "CRITERIA",
    "PRESETS",
    "Aggregation",
    "Composite",
    "Match",
    "Preset",
    "Relevance",
    "Scores",
    "Start",
    "aggregate",
    "attribute",
    "criterion",
    "heatmaps",
    "load_composite",
    "make_rule",
    "register_criterion",
    "save_composite",
]

make_callable(__name__)
