"""Baseline criteria behind one interface: scores per unit, without LRP.

scores = criterion("taylor")(model, images, labels, units, task)
"""

from xaiprune.attribution.criteria.activations import activation, variance
from xaiprune.attribution.criteria.gradients import fisher, gradient, integrated_gradients, taylor
from xaiprune.attribution.criteria.types import Criterion, Scores, SelectsLogits
from xaiprune.attribution.criteria.wanda import wanda
from xaiprune.attribution.criteria.weights import magnitude_l1, magnitude_l2, random
from xaiprune.registry import CRITERIA, register_criterion

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
    "register_criterion",
    "taylor",
    "variance",
    "wanda",
]


def criterion(name: str) -> Criterion:
    """A baseline criterion by name, e.g. ``criterion("taylor")``.

    Raises:
        XaipruneError: There is no criterion of that name.
    """
    found: Criterion = CRITERIA.find(name)
    return found
