"""Relevance of units: LRP (`attribution.lrp`), baselines (`attribution.criteria`), and their scores."""

from xaiprune.attribution.conservation import Conservation, ConservationRow, conservation
from xaiprune.attribution.criteria import Criterion, Scores, SelectsLogits, criterion
from xaiprune.attribution.heatmap import heatmaps
from xaiprune.attribution.lrp.composite import Composite, Match, make_rule
from xaiprune.attribution.lrp.composite_io import load_composite, save_composite
from xaiprune.attribution.lrp.explain import explain, explanation
from xaiprune.attribution.relevance import Aggregation, Relevance, aggregate
from xaiprune.attribution.targets import TokenTargets
from xaiprune.attribution.text import (
    Answer,
    TextAttribution,
    UnitAttribution,
    UnitTexts,
    attribute_text,
    attribute_text_units,
    collect_unit_texts,
)
from xaiprune.attribution.unit_relevance import Start, attribute, initial_relevance
from xaiprune.registry import CRITERIA, register_criterion

__all__ = [
    "CRITERIA",
    "Aggregation",
    "Answer",
    "Composite",
    "Conservation",
    "ConservationRow",
    "Criterion",
    "Match",
    "Relevance",
    "Scores",
    "SelectsLogits",
    "Start",
    "TextAttribution",
    "TokenTargets",
    "UnitAttribution",
    "UnitTexts",
    "aggregate",
    "attribute",
    "attribute_text",
    "attribute_text_units",
    "collect_unit_texts",
    "conservation",
    "criterion",
    "explain",
    "explanation",
    "heatmaps",
    "initial_relevance",
    "load_composite",
    "make_rule",
    "register_criterion",
    "save_composite",
]
