"""Studies and comparisons for people: frames, tables, pictures."""

from xaiprune.comparison.table import Comparison, summary
from xaiprune.report.curves import draw_curves
from xaiprune.report.explaining import faithfulness
from xaiprune.report.frames import accuracy, layers, methods, trials
from xaiprune.report.show import show_comparison
from xaiprune.report.table import plain_text, print_comparison

__all__ = [
    "Comparison",
    "accuracy",
    "draw_curves",
    "faithfulness",
    "layers",
    "methods",
    "plain_text",
    "print_comparison",
    "show_comparison",
    "summary",
    "trials",
]
