"""docs/results/ten-classes.md: its tables, written between their markers from the CSV files."""

from __future__ import annotations

from benchmarks import marked
from benchmarks.proof.cases import RESULTS
from benchmarks.proof.page_tables import TABLES

PAGES = (RESULTS / "ten-classes.md",)


def refresh() -> None:
    """Write every marked table anew."""
    marked.refresh(PAGES, "table", TABLES)


def rendered(text: str) -> str:
    """The page's text with its tables as the CSV files have them now."""
    return marked.rendered(text, "table", TABLES)
