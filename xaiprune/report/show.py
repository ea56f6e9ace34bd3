"""Show a comparison: the table on the screen, the curves as a picture."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from xaiprune.comparison.table import Comparison
from xaiprune.report.curves import draw_curves
from xaiprune.report.table import print_comparison


def show_comparison(comparison: Comparison, out_dir: Path, *, console: Console | None = None) -> Path:
    """Print the table and draw ``<out_dir>/curves.png``.

    Args:
        comparison: From `xaiprune.comparison.run.compare_on_test`.
        out_dir: Folder of the picture.
        console: Where the table goes (stdout).

    Returns:
        Absolute path of the picture.
    """
    print_comparison(comparison, console)
    return draw_curves(comparison, out_dir.resolve() / "curves.png")
