"""Pages whose tables are written between markers; the text around them is people's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from xaiprune.files import replacing

Tables = Mapping[str, Callable[[str], list[str]]]
"""Name of a table -> its lines, of the case that follows on the name: ``target-vit_tiny-neurons``."""


def refresh(pages: Iterable[Path], marker: str, tables: Tables) -> None:
    """Write every marked table of some pages anew.

    Args:
        pages: Markdown files.
        marker: The word before the table's name: ``<!-- marker: NAME -->`` up to ``<!-- end -->``.
        tables: By name.
    """
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if (new := rendered(text, marker, tables)) != text:
            with replacing(page) as path:
                path.write_text(new, encoding="utf-8")


def rendered(text: str, marker: str, tables: Tables) -> str:
    """A page's text with its tables as they are now; arguments as of `refresh`."""

    def named(found: re.Match[str]) -> str:
        kind, _, case = found[2].partition("-")
        lines = tables[kind](case) or ["*Not measured yet.*"]
        return "\n".join([found[1], *lines, "", found[3]])

    return re.sub(rf"(<!-- {marker}: ([\w-]+) -->\n).*?(<!-- end -->)", named, text, flags=re.DOTALL)
