"""What takes long shows a bar with the time that is left: compensation, statistics, orders, timing."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import pytest
import torch

from tests.pruning.networks import build
from tests.pruning.test_remove import random_plan
from xaiprune.evaluation import cost
from xaiprune.pruning import compensate, statistics_of
from xaiprune.units import find_units


class Bars:
    """Stands in for `progress`: description -> how many of how many steps were taken."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[int, int]]] = {}

    def __call__(self, items: Iterable, description: str, *, total: int | None = None):  # type: ignore[no-untyped-def]
        steps = 0
        try:
            for item in items:
                yield item
                steps += 1
        finally:
            whole = len(items) if total is None else total  # type: ignore[arg-type]
            self.seen.setdefault(description, []).append((steps, whole))


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> Bars:
    found = Bars()
    for name in ("pruning.compensation", "pruning.statistics.stream", "evaluation.cost"):
        monkeypatch.setattr(sys.modules[f"xaiprune.{name}"], "progress", found)
    return found


@pytest.mark.parametrize("sequential", [True, False])
def test_compensation_has_a_step_for_each_consumer(bars: Bars, sequential: bool) -> None:
    model = build("timm", "resnet18", {"num_classes": 10})
    images = torch.randn(5, 3, 32, 32)
    units = find_units(model, "inner_filters", example=images[:1])
    plan = random_plan(units, 0.4)
    compensate(model, plan, units, images, "linear", sequential=sequential, batch_size=2)
    ((steps, total),) = bars.seen["compensating"]
    assert steps == total == 8  # the second convolution of each block
    assert bars.seen["collecting statistics"] == [(3, 3)]


def test_statistics_have_a_step_for_each_batch(bars: Bars) -> None:
    model = build("timm", "resnet18", {"num_classes": 10})
    images = torch.randn(5, 3, 32, 32)
    statistics_of(model, find_units(model, "inner_filters", example=images[:1]), images, 2)
    assert bars.seen["collecting statistics"] == [(3, 3)]


def test_timing_has_a_step_for_each_batch_size(bars: Bars) -> None:
    model = build("timm", "resnet18", {"num_classes": 10})
    found = cost(model, torch.randn(1, 3, 32, 32), (1, 2), min_seconds=0.01)
    assert [one.batch for one in found.latency] == [1, 2]
    assert bars.seen["timing"] == [(2, 2)]
