"""Honest numbers: top-1 with its interval, accuracy-rate curves, cost."""

from xaiprune.evaluate.accuracy import Accuracy, Precision, accuracy
from xaiprune.evaluate.cost import Cost, Latency, cost, latency, macs
from xaiprune.evaluate.curve import Curve, curve
from xaiprune.evaluate.faithfulness import Faithfulness, faithfulness
from xaiprune.evaluate.paired import Paired, paired

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
