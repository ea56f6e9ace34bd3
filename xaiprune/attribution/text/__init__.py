"""Relevance of the tokens of a text and of units for it, and how it is shown."""

from xaiprune.attribution.text.attribute import ATTNLRP, attribute_text
from xaiprune.attribution.text.found import Answer, TextAttribution
from xaiprune.attribution.text.html import page
from xaiprune.attribution.text.unit_texts import Excerpt, UnitTexts, collect_unit_texts
from xaiprune.attribution.text.units import UnitAnswer, UnitAttribution, attribute_text_units

__all__ = [
    "ATTNLRP",
    "Answer",
    "Excerpt",
    "TextAttribution",
    "UnitAnswer",
    "UnitAttribution",
    "UnitTexts",
    "attribute_text",
    "attribute_text_units",
    "collect_unit_texts",
    "page",
]
