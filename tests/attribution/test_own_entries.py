"""Rules, criteria and operations of a user's own: the least they can be, through the suites."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution import Composite, criterion, explain, make_rule
from xaiprune.attribution.lrp import LinearCall, Op, Recorder, Rule
from xaiprune.errors import XaipruneError
from xaiprune.registry import (
    CRITERIA,
    OPERATIONS,
    RULES,
    register_criterion,
    register_operation,
    register_rule,
)
from xaiprune.testing.criteria import ImageCriterionSuite
from xaiprune.testing.operations import Case, OperationSuite
from xaiprune.testing.rules import RuleSuite


class Plain(Rule):
    """Nothing but a name and the propagation."""

    name = "plain"

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        return call.transpose(g, call.weight)


@dataclass(frozen=True)
class Mixed(Rule):
    """One parameter, between the gradient and its positive weights alone."""

    name = "mixed"
    ranges: ClassVar = {"part": (0.0, 1.0)}
    main = "part"
    part: float = 0.5

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        return call.transpose(g, torch.lerp(call.weight, call.positive_weight(), self.part))


def reversed_taylor(*args: Any, seed: int = 0, **options: Any) -> dict[str, Tensor]:
    return {layer: -scores for layer, scores in criterion("taylor")(*args, **options).items()}


def sort(recorder: Recorder, op: Op, *args: Any, **options: Any) -> Any:
    return recorder.plain(op, *args, **options)


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """Registered as long as this module runs."""
    register_rule("plain")(Plain)
    register_rule("mixed")(Mixed)
    register_criterion("reversed")(reversed_taylor)
    register_operation("sort")(sort)
    yield
    for registry, name in ((RULES, "plain"), (RULES, "mixed"), (CRITERIA, "reversed"), (OPERATIONS, "sort")):
        del registry._entries[name]


class TestOwnRules(RuleSuite):
    rules = (Plain(), Mixed(), Mixed(0.25))
    conserving = (Plain(), Mixed(0.0))


class TestOwnCriterion(ImageCriterionSuite):
    criteria = ("reversed",)
    nonnegative = False


class TestOwnOperation(OperationSuite):
    cases: ClassVar = {"sort": Case(lambda x: x.sort(dim=1).values)}


def test_what_is_not_said_has_a_default() -> None:
    assert (Plain.ranges, Plain.searchable, Plain.main) == ({}, (), None)
    assert (str(Plain()), Plain().title, Plain().short) == ("plain",) * 3
    assert Mixed.searchable == ("part",)
    assert (str(Mixed()), Mixed().title, Mixed().short) == ("mixed(part=0.5)", "mixed", "mixed 0.5")


def test_they_are_found_by_name() -> None:
    assert make_rule("mixed", part=0.25) == Mixed(0.25)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    assert "mixed(part=0.5)" in explain(Composite(Mixed()), model, torch.zeros(1, 3, 2, 2))
    with pytest.raises(XaipruneError, match="rule plain has no counterpart in zennit"):
        Plain().zennit()


def test_names_of_ours_are_taken() -> None:
    for register, name in (
        (register_rule, "gamma"),
        (register_operation, "relu"),
        (register_criterion, "taylor"),
    ):
        with pytest.raises(XaipruneError, match=f"'{name}' is taken"):
            register(name)(Plain)
