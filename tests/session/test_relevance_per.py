"""Relevance per MAC: what a session ranks by where units cost differently."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import xaiprune as xp
from xaiprune.data import as_dataset
from xaiprune.errors import XaipruneError
from xaiprune.pruning import iterative_plan, make_plan, per_cost
from xaiprune.recipe import PRESETS
from xaiprune.units import unit_costs

IMAGES = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 4
TAYLOR = replace(PRESETS["taylor"], budget="units", order="score", compensate="none", rounds=1)


@pytest.fixture
def session() -> xp.PruningSession:
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(12, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
    ).eval()
    units = xp.find_units(network, "inner_filters", example=IMAGES[:1])
    return xp.PruningSession.of(network, as_dataset((IMAGES, LABELS), outputs=10), units)


@pytest.mark.parametrize("per", ["params", "macs"])
@pytest.mark.parametrize("rounds", [1, 2])
def test_scores_are_divided_by_costs(session: xp.PruningSession, per: str, rounds: int) -> None:
    recipe = replace(TAYLOR, relevance_per=per, rounds=rounds)
    costs = unit_costs(session.model, session.units, per, session.example)
    rank = session.ranker(recipe)
    expected = iterative_plan(
        session.model, session.units, 0.4, lambda model: per_cost(rank(model), costs), rounds
    )
    assert session.plan_for(recipe, 0.4).removed == expected.removed
    # Something is at stake: by relevance alone, others go.
    plain = make_plan(session.scores(recipe), session.units, 0.4)
    assert session.plan_for(replace(TAYLOR, relevance_per="unit"), 0.4).removed == plain.removed
    assert plain.removed != expected.removed


def test_filters_are_ranked_so_by_default(session: xp.PruningSession) -> None:
    assert session.prune.relevance_per == "macs"
    with pytest.raises(XaipruneError, match="relevance_per must be one of unit, params, macs, got 'flops'"):
        replace(TAYLOR, relevance_per="flops")
