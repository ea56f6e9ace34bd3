"""The claims of compensation on the shared networks and photographs, on a part of the validation images."""

import pytest
import torch

from benchmarks.pruned import CASES, open_case
from xaiprune.attribution.criteria import criterion
from xaiprune.evaluation import accuracy
from xaiprune.pruning import compensate, make_plan, masked, statistics_of
from xaiprune.units import find_units


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "rate", "zeroed_at_most", "linear_at_least"),
    [("resnet18", 0.4, 0.55, 0.55), ("vit_tiny", 0.6, 0.20, 0.40)],
)
def test_linear_compensation_brings_accuracy_back(shared_data, name, rate, zeroed_at_most, linear_at_least):
    case = CASES[name]
    opened = open_case(case)
    validation = opened.data.validation.subset(torch.arange(0, 1200, 8))  # 150 images: +-8 points
    units = find_units(opened.model, case.units, example=opened.example())
    images, labels = opened.data.reference.tensor(), opened.data.reference.labels
    task = opened.data.task
    scores = criterion("taylor")(opened.model, images, labels, units, task)
    plan = make_plan(scores, units, rate)
    with masked(opened.model, plan, units):
        zeroed = accuracy(opened.model, validation, task).top1
    statistics = statistics_of(opened.model, units, images)
    new = compensate(opened.model, plan, units, images, sequential=False, statistics=statistics)
    with masked(new, plan, units):
        linear = accuracy(new, validation, task).top1
    assert zeroed <= zeroed_at_most
    assert linear >= linear_at_least
