"""The table at the end of a sweep (``--multirun``): a line for each run, with what it has found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

FIGURES = "figures"  # folder of files among the sweep's notes, one of each run


def sweep_table(notes: Path) -> Iterator[str]:
    """The lines of the table; none where no run has noted anything.

    Args:
        notes: The sweep's folder of notes. A run's file has name -> text: first the keys that differ between
            runs, then its figures.
    """
    rows = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((notes / FIGURES).glob("*.json"))]
    if not rows:
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([row.get(name, "") for name in names] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    yield ""
    for row in cells:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
