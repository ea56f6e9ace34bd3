"""Every objective of ours passes the suite that ships."""

from __future__ import annotations

from xaiprune.registry import OBJECTIVES
from xaiprune.testing.objectives import ObjectiveSuite


class TestOurObjectives(ObjectiveSuite):
    objectives = (
        "top1_at_rate",
        "curve_mean",
        "curve_trapezoid",
        "max_rate_at_drop",
        "faithfulness",
        "agreement",
    )


class TestTwoValues(ObjectiveSuite):
    objectives = ("top1_at_rate", "curve_mean", "max_rate_at_drop", "agreement")
    overrides = ("objective.cost=macs",)


def test_all_of_ours_are_tested() -> None:
    ours = {name for name in OBJECTIVES if OBJECTIVES[name].__module__.startswith("xaiprune.")}
    assert ours == {*TestOurObjectives.objectives, "perplexity"}  # of text: tests/trial/test_perplexity.py
