"""Relevance of units: LRP (`attribute.lrp`), baselines (`attribute.criteria`), and their scores."""

from xaiprune.attribution.criteria.registry import CRITERIA, Scores, SelectsLogits, criterion
from xaiprune.attribution.criteria.registry import register as register_criterion
from xaiprune.attribution.heatmap import heatmaps
from xaiprune.attribution.lrp.composite import Composite, Match, make_rule
from xaiprune.attribution.lrp.composite_io import load_composite, save_composite
from xaiprune.attribution.lrp.explain import explanation
from xaiprune.attribution.relevance import Aggregation, Relevance, aggregate
from xaiprune.attribution.unit_relevance import Start, attribute

__all__ = [
    "CRITERIA",
    "Aggregation",
    "Composite",
    "Match",
    "Relevance",
    "Scores",
    "SelectsLogits",
    "Start",
    "aggregate",
    "attribute",
    "criterion",
    "explanation",
    "heatmaps",
    "load_composite",
    "make_rule",
    "register_criterion",
    "save_composite",
]
