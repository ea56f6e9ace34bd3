"""Relevance of the tokens of a text, and how it is shown."""

from xaiprune.attribution.text.attribute import ATTNLRP, attribute_text
from xaiprune.attribution.text.found import Answer, TextAttribution, page, section

__all__ = ["ATTNLRP", "Answer", "TextAttribution", "attribute_text", "page", "section"]
