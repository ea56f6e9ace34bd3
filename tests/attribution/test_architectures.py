"""One suite for every architecture: the engine knows the network's function, and does not touch it."""

from __future__ import annotations

import copy
from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xaiprune.attribution.lrp import (
    PLAIN_GRADIENT,
    AlphaBeta,
    Composite,
    Epsilon,
    Gamma,
    Recording,
    ZPlus,
    relevance_at,
)
from xaiprune.testing.small_networks import no_hooks

from .architectures import ARCHITECTURES, CLASSES, randomized

every_architecture = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ARCHITECTURES]
)

COMPOSITES = (
    Composite(Epsilon(1e-6), name="epsilon"),
    Composite(Gamma(0.25), softmax="cp", product="gate", name="gamma"),
    Composite(ZPlus(), softmax="zplus", name="zplus"),
    Composite(AlphaBeta(2.0, 1.0), activation="gradient", name="alphabeta"),
)


@lru_cache(maxsize=2)
def network(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Shared between tests; what they change they change back."""
    if dtype == torch.float64:
        return randomized(ARCHITECTURES[name][0]())
    return copy.deepcopy(network(name)).to(dtype)


def images(name: str, n: int = 2) -> Tensor:
    size = ARCHITECTURES[name][1]
    return torch.randn(n, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def onehot(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return F.one_hot(torch.arange(n) % CLASSES, CLASSES).to(dtype)


def pixels(model: nn.Module, x: Tensor, composite: Composite) -> Tensor:
    return relevance_at(model, x, onehot(len(x), x.dtype), composite, ["input"])["input"]


def distance(actual: Tensor, expected: Tensor) -> float:
    return float((actual.double() - expected.double()).norm() / expected.double().norm())


@every_architecture
def test_the_recorded_forward_is_the_networks(name: str) -> None:
    model, x = network(name), images(name)
    with torch.no_grad():
        expected = model(x)
    torch.testing.assert_close(Recording(model, x, ()).logits, expected, rtol=1e-9, atol=1e-11)


@every_architecture
def test_with_gradients_for_all_rules_it_is_the_plain_gradient(name: str) -> None:
    model, x = network(name), images(name)
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad((model(leaf) * onehot(len(x))).sum(), leaf)
    assert distance(pixels(model, x, PLAIN_GRADIENT), x * g) < 1e-9


@every_architecture
def test_without_biases_relevance_is_conserved(name: str) -> None:
    # Weights of attention and gates as constants; then every path from image to logit is homogeneous.
    model, x = randomized(copy.deepcopy(network(name)), biases=False), images(name)
    composite = Composite(Epsilon(0.0), softmax="cp", product="gate")
    with torch.no_grad():
        logits = (model(x) * onehot(len(x))).sum(1)
    torch.testing.assert_close(pixels(model, x, composite).sum((1, 2, 3)), logits, rtol=1e-7, atol=1e-9)


@every_architecture
@pytest.mark.parametrize("composite", COMPOSITES, ids=lambda c: c.name)
def test_float32_is_finite_and_close_to_float64(name: str, composite: Composite) -> None:
    model, x = network(name), images(name, n=1)
    exact = pixels(model, x, composite)
    single = pixels(network(name, torch.float32), x.float(), composite)
    assert exact.isfinite().all()
    assert single.isfinite().all()
    assert single.dtype == torch.float32
    assert exact.abs().sum() > 0
    assert distance(single, exact) < 2e-2


@every_architecture
def test_an_image_is_explained_alike_alone_and_in_a_batch(name: str) -> None:
    model, x = network(name), images(name)
    composite = COMPOSITES[1]
    alone = pixels(model, x[:1], composite)
    assert distance(pixels(model, x, composite)[:1], alone) < 1e-8


@every_architecture
def test_the_network_is_left_alone(name: str) -> None:
    model, x = network(name, torch.float32), images(name, n=1).float()
    first = next(model.parameters()).requires_grad_(False)
    state = copy.deepcopy(model.state_dict())
    flags = [p.requires_grad for p in model.parameters()]
    with torch.no_grad():
        before = model(x)
    pixels(model, x, COMPOSITES[2])
    with torch.no_grad():
        assert torch.equal(model(x), before)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(p.grad is None for p in model.parameters())
    first.requires_grad_(True)
    assert no_hooks(model)
