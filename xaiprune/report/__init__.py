"""Studies and comparisons for people: pandas frames, tables, plots."""

from xaiprune.comparison.table import Comparison, summary
from xaiprune.report.curves import draw_curves
from xaiprune.report.explaining import faithfulness
from xaiprune.report.frames import accuracy, layers, methods, trials
from xaiprune.report.show import show_comparison
from xaiprune.report.table import print_comparison

__all__ = [
    "Comparison",
    "accuracy",
    "draw_curves",
    "faithfulness",
    "layers",
    "methods",
    "print_comparison",
    "show_comparison",
    "summary",
    "trials",
]
