"""CITATION.cff cites the version that there is."""

from __future__ import annotations

import yaml

import xaiprune
from tests.docs.pages import REPOSITORY


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["version"] == xaiprune.__version__
    assert all({"type", "title", "authors"} <= set(reference) for reference in citation["references"])
