"""Top-1 with its interval, accuracy-rate curves, paired tests, faithfulness of heatmaps, cost."""

from xaiprune.evaluation.accuracy import Accuracy, Precision, accuracy
from xaiprune.evaluation.cost import Cost, Latency, cost, latency, macs
from xaiprune.evaluation.curve import Curve, curve
from xaiprune.evaluation.faithfulness import Faithfulness, faithfulness
from xaiprune.evaluation.paired import Paired, paired

__all__ = [
    "Accuracy",
    "Cost",
    "Curve",
    "Faithfulness",
    "Latency",
    "Paired",
    "Precision",
    "accuracy",
    "cost",
    "curve",
    "faithfulness",
    "latency",
    "macs",
    "paired",
]
