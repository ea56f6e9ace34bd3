"""Baseline criteria behind one interface: scores per unit, without LRP.

scores = criterion("taylor")(model, images, labels, units, task)
"""

from xaiprune.attribution.criteria.activations import activation
from xaiprune.attribution.criteria.gradients import fisher, gradient, integrated_gradients, taylor
from xaiprune.attribution.criteria.registry import (
    CRITERIA,
    Criterion,
    Scores,
    SelectsLogits,
    criterion,
    register,
)
from xaiprune.attribution.criteria.weights import magnitude_l1, magnitude_l2, random

__all__ = [
    "CRITERIA",
    "Criterion",
    "Scores",
    "SelectsLogits",
    "activation",
    "criterion",
    "fisher",
    "gradient",
    "integrated_gradients",
    "magnitude_l1",
    "magnitude_l2",
    "random",
    "register",
    "taylor",
]
