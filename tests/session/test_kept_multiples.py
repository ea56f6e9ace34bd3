"""prune.multiple through a session: every order, budget and scope; tensors, recipes, fingerprints."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import xaiprune as xp
from xaiprune.config import compose
from xaiprune.data import as_dataset
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS, configured_recipe
from xaiprune.study.fingerprint import session_fingerprint

IMAGES = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 4


@pytest.fixture
def network() -> nn.Module:
    """A convolution whose channels a depthwise one reads, and two more."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 22, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(22, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    ).eval()


def widths(model: nn.Module) -> list[int]:
    return [module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize("order", ["score", "joint", "error"])
@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("budget", ["units", "params", "macs"])
def test_tensors_have_multiples(network: nn.Module, order: str, scope: str, budget: str) -> None:
    how = {"order": order, "scope": scope, "budget": budget, "units": "inner_filters"}
    for rate in (0.3, 0.6):
        found = xp.prune(network, (IMAGES, LABELS), rate, multiple=8, **how)
        first, depthwise, third, last = widths(found.model)
        assert first == depthwise
        assert {first % 8, last % 8} == {0}
        assert third in (8, 16, 22)
        assert found.plan.multiple == 8
        assert found.plan.n_removed > 0


def test_rounds_end_with_multiples(network: nn.Module) -> None:
    found = xp.prune(network, (IMAGES, LABELS), 0.5, multiple=4, rounds=2, units="inner_filters")
    assert all(width % 4 == 0 or width == 22 for width in widths(found.model))
    assert found.plan.n_removed > 0


def test_channels_of_a_stream_leave_in_multiples() -> None:
    torch.manual_seed(0)
    model = xp.load_model("digits_resnet", pretrained=False)
    images, labels = torch.randn(12, 1, 16, 16).expand(-1, 3, -1, -1), LABELS
    found = xp.prune(
        model, (images, labels), 0.4, multiple=4, units="filters", coupled="group", order="score"
    )
    assert widths(found.model) != widths(model)
    assert all(width % 4 == 0 for width in widths(found.model))


def test_a_recipe_carries_it(network: nn.Module, tmp_path: Path) -> None:
    recipe = replace(PRESETS["taylor"], multiple=8, rate=0.4)
    assert "multiples of 8 channels" in recipe.summary()
    assert recipe.key != replace(recipe, multiple=None).key
    file = xp.save_recipe(tmp_path / "mine.yaml", recipe)
    assert xp.load_recipe(file) == recipe
    whole = xp.prune(network, (IMAGES, LABELS), recipe=file, units="inner_filters")
    assert (whole.plan.multiple, whole.recipe.multiple) == (8, 8)
    assert xp.prune(network, (IMAGES, LABELS), 0.4, units="inner_filters").plan.multiple == 1
    config = compose("search", [f"recipe={file}", "prune.multiple=4"])
    units = xp.find_units(network, "inner_filters", example=IMAGES[:1])
    assert configured_recipe(config, network, units, IMAGES[:1]).multiple == 4
    with pytest.raises(XaipruneError, match="multiple must be at least 1, got 0"):
        replace(recipe, multiple=0)
    with pytest.raises(XaipruneError, match=r"prune\.multiple must be a whole number, got 8\.5"):
        xp.prune(network, (IMAGES, LABELS), 0.4, multiple=8.5)


def test_a_study_is_another_only_with_a_multiple(network: nn.Module) -> None:
    units = xp.find_units(network, "inner_filters", example=IMAGES[:1])
    session = xp.PruningSession.of(network, as_dataset((IMAGES, LABELS), outputs=10), units)
    config = compose("search", [])
    assert "multiple" not in session_fingerprint(config, session)["prune"]
    assert session_fingerprint(config, session.with_prune(multiple=8))["prune"]["multiple"] == 8
