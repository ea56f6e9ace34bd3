"""What rules become at the ends of their ranges, on networks (float64)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution.lrp import AlphaBeta, Composite, Epsilon, Gamma, ZPlus, relevance_at
from xaiprune.attribution.lrp.rules import Rule
from xaiprune.testing.small_networks import (
    chain,
    images_and_labels,
    small_resnet,
    small_transformer,
)

NETWORKS = {
    "resnet": (small_resnet, ["bn", "block.bn1", "block.bn2", "relu", "block", "input"]),
    "transformer": (small_transformer, ["embed", "attn", "fc1", "fc2", "norm1", "input"]),
}
every_network = pytest.mark.parametrize("network", list(NETWORKS))


def relevance(
    model: nn.Module, rule: Rule, modules: list[str], images: Tensor | None = None
) -> dict[str, Tensor]:
    """Relevance at the modules, started at the logit of classes 0, 1, 2, ..."""
    if images is None:
        images = images_and_labels()[0].double()
    initial = torch.eye(5, dtype=torch.float64)[torch.arange(len(images)) % 5]
    return relevance_at(model, images, initial, Composite(rule), modules)


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor], rtol: float = 1e-9) -> None:
    assert list(first) == list(second)
    for key in first:
        scale = float(second[key].abs().max())
        assert scale > 0
        torch.testing.assert_close(first[key] / scale, second[key] / scale, rtol=rtol, atol=rtol)


@every_network
@pytest.mark.parametrize("bias", ["absorb", "exclude"])
def test_gamma_zero_is_epsilon(network: str, bias: str) -> None:
    build, modules = NETWORKS[network]
    model = build().double()
    gamma = relevance(model, Gamma(0.0, stabilizer=1e-3, bias=bias), modules)
    assert_same(gamma, relevance(model, Epsilon(1e-3, bias=bias), modules))


@every_network
@pytest.mark.parametrize("bias", ["absorb", "exclude"])
def test_alphabeta_1_0_is_zplus(network: str, bias: str) -> None:
    build, modules = NETWORKS[network]
    model = build().double()
    assert_same(
        relevance(model, AlphaBeta(1.0, 0.0, bias=bias), modules), relevance(model, ZPlus(bias=bias), modules)
    )


def test_large_gamma_tends_to_zplus_where_outputs_are_positive() -> None:
    # Outputs that feed a ReLU carry relevance only where they are positive; the classifier is seeded so.
    torch.manual_seed(0)
    model = chain(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten())
    images = images_and_labels(n=3, size=8)[0].double()
    initial = torch.randn(3, 64, dtype=torch.float64)
    modules = ["0", "2", "input"]
    zplus = relevance_at(model, images, initial, Composite(ZPlus(stabilizer=0.0)), modules)
    distances = []
    for gamma in (1e1, 1e3, 1e5):
        close = relevance_at(model, images, initial, Composite(Gamma(gamma, stabilizer=0.0)), modules)
        distances.append(float((close["input"] - zplus["input"]).norm() / zplus["input"].norm()))
    assert distances[0] > 20 * distances[1] > 400 * distances[2]
    assert distances[2] < 1e-3


MODULES = ["bn", "relu", "block.bn1", "block.bn2", "block", "input"]


@pytest.mark.parametrize("modules", [MODULES, ["block.bn1"], ["block.bn2", "bn"]])
def test_epsilon_0_is_activation_times_gradient_in_relu_networks(modules: list[str]) -> None:
    model = small_resnet().double()
    images, labels = images_and_labels()
    images = images.double()
    actual = relevance(model, Epsilon(0.0), modules)

    x = images.clone().requires_grad_()
    bn = model.bn(model.stem(x))
    relu = torch.relu(bn)
    bn1 = model.block.bn1(model.block.conv1(relu))
    bn2 = model.block.bn2(model.block.conv2(torch.relu(bn1)))
    block = torch.relu(bn2 + relu)
    total = model.head(block.mean((2, 3))).gather(1, labels[:, None]).sum()
    tensors = {"bn": bn, "relu": relu, "block.bn1": bn1, "block.bn2": bn2, "block": block, "input": x}
    gradients = torch.autograd.grad(total, list(tensors.values()))
    expected = {
        key: (a * g).detach()
        for (key, a), g in zip(tensors.items(), gradients, strict=True)
        if key in modules
    }
    assert_same({key: actual[key] for key in expected}, expected)


@pytest.mark.parametrize("epsilon", [0.0, 1e-6, 0.1])
def test_the_leak_is_what_biases_and_epsilon_take(epsilon: float) -> None:
    torch.manual_seed(0)
    model = chain(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, stride=2), nn.Flatten())
    images = images_and_labels(n=3, size=9)[0].double()
    initial = torch.randn(3, 36, dtype=torch.float64)
    found = relevance_at(model, images, initial, Composite(Epsilon(epsilon)), ["0", "1", "2", "input"])
    with torch.no_grad():
        z = {"0": model[0](images), "2": model[:3](images)}
    for layer, below in (("0", "input"), ("2", "1")):
        sign = epsilon * torch.where(z[layer] < 0, -torch.ones_like(z[layer]), 1)
        bias = model[int(layer)].bias.detach()[:, None, None]
        leak = (found[layer] * (bias + sign) / (z[layer] + sign)).flatten(1).sum(1)
        lost = found[layer].flatten(1).sum(1) - found[below].flatten(1).sum(1)
        torch.testing.assert_close(lost, leak, rtol=1e-9, atol=1e-12)


@every_network
def test_excluded_biases_take_nothing_in_one_layer(network: str) -> None:
    build, _ = NETWORKS[network]
    model = build().double()
    head = relevance(model, Epsilon(0.0, bias="exclude"), ["head"])["head"]
    with torch.no_grad():
        logits = model(images_and_labels()[0].double())
    # The start is the logit with its bias, and all of it reaches the pooled features.
    initial = torch.eye(5, dtype=torch.float64)[torch.arange(6) % 5]
    below = relevance_at(
        model,
        images_and_labels()[0].double(),
        initial,
        Composite(Epsilon(0.0, bias="exclude")),
        ["head"],
        where="input",
    )["head"]
    torch.testing.assert_close(head, logits * initial)
    torch.testing.assert_close(below.sum(-1), (logits * initial).sum(-1))
