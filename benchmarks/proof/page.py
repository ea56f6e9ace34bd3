"""docs/results/ten-classes.md: its tables, written between their markers from the CSV files."""

from __future__ import annotations

import re

from benchmarks.proof.cases import RESULTS
from benchmarks.proof.page_tables import TABLES
from xaiprune.files import replacing

PAGES = (RESULTS / "ten-classes.md",)
_MARKED = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def refresh() -> None:
    """Write every marked table anew; the text between them is people's."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (new := rendered(text)) != text:
            with replacing(page) as path:
                path.write_text(new, encoding="utf-8")


def rendered(text: str) -> str:
    """The page's text with its tables as the CSV files have them now."""
    return _MARKED.sub(lambda found: f"{found[1]}{_named(found['name'])}{found[3]}", text)


def _named(name: str) -> str:
    # Names like target-vit_tiny-neurons: the table, and its case.
    kind, _, case = name.partition("-")
    lines = TABLES[kind](case)
    return "\n".join(["", *(lines or ["*Not measured yet.*"]), "", ""])
