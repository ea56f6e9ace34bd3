"""Activations that transformers and timm write out pass relevance as all others do (float64)."""

from __future__ import annotations

import pytest
import torch
from timm.layers.activations import QuickGELU, Swish
from torch import Tensor, nn

from xaiprune.attribution.lrp import PLAIN_GRADIENT, Composite, Epsilon, relevance_at
from xaiprune.attribution.lrp.engine.written_out import written_out

activations = pytest.importorskip(
    "transformers.activations", reason="transformers is not installed (pip install xaiprune[language])"
)
NAMES = ("NewGELUActivation", "FastGELUActivation", "QuickGELUActivation", "AccurateGELUActivation")


def network(activation: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 9), activation, nn.Linear(9, 3)).double().eval()


def images() -> Tensor:
    return torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def made(kind: str) -> nn.Module:
    return QuickGELU() if kind == "timm" else getattr(activations, kind)()


@pytest.mark.parametrize("kind", [*NAMES, "timm"])
def test_relevance_passes_unchanged(kind: str) -> None:
    model, initial = network(made(kind)), torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]).double()
    found = relevance_at(model, images(), initial, Composite(Epsilon(0.0)), ["0", "1", "input"])
    hidden = model[0](images())
    above = model[1](hidden) * (initial @ model[2].weight)
    torch.testing.assert_close(found["1"], above.detach())
    torch.testing.assert_close(found["0"], above.detach())
    expected = images() * ((above / hidden) @ model[0].weight)
    torch.testing.assert_close(found["input"], expected.detach())


@pytest.mark.parametrize("kind", [*NAMES, "timm"])
def test_its_gradient_where_it_is_asked_for(kind: str) -> None:
    model, initial = network(made(kind)), torch.ones(2, 3, dtype=torch.float64)
    leaf = images().requires_grad_()
    (g,) = torch.autograd.grad(model(leaf).sum(), leaf)
    found = relevance_at(model, images(), initial, PLAIN_GRADIENT, ["input"])["input"]
    torch.testing.assert_close(found, images() * g)


def test_what_does_not_vanish_at_zero_is_left_to_its_operations() -> None:
    layers = {"laplace": activations.LaplaceActivation(), "gelu": activations.NewGELUActivation()}
    found = written_out(nn.ModuleDict({**layers, "quick": QuickGELU(), "in place": Swish(inplace=True)}))
    assert set(found) == {"gelu", "quick"}
    assert found["gelu"].slope_at_zero == pytest.approx(0.5)
