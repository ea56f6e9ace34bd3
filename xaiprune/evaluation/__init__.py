"""Top-1 with its interval, accuracy-rate curves, paired tests, faithfulness of heatmaps, cost."""

from xaiprune.evaluation.accuracy import Precision, accuracy
from xaiprune.evaluation.cost import Cost, Latency, cost, latency, macs
from xaiprune.evaluation.counts import Accuracy, TokenAccuracy, accuracy_of_chunks
from xaiprune.evaluation.curve import Curve, curve
from xaiprune.evaluation.faithfulness import Faithfulness, faithfulness
from xaiprune.evaluation.paired import Paired, paired
from xaiprune.evaluation.token_flipping import token_faithfulness

__all__ = [
    "Accuracy",
    "Cost",
    "Curve",
    "Faithfulness",
    "Latency",
    "Paired",
    "Precision",
    "TokenAccuracy",
    "accuracy",
    "accuracy_of_chunks",
    "cost",
    "curve",
    "faithfulness",
    "latency",
    "macs",
    "paired",
    "token_faithfulness",
]
