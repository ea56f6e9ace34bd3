"""Every rule on every kind of layer against the dense definition (float64)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xaiprune.attribution.lrp import (
    RULES,
    AlphaBeta,
    Composite,
    Epsilon,
    Flat,
    Gamma,
    Rule,
    WSquare,
    ZBox,
    ZPlus,
    relevance_at,
)
from xaiprune.testing.rules import RuleSuite
from xaiprune.testing.small_networks import chain

from .dense import relevance_of_inputs

RULES_TESTED: tuple[Rule, ...] = (
    Epsilon(0.0),
    Epsilon(1e-6),
    Epsilon(0.5),
    Epsilon(0.01, bias="exclude"),
    Gamma(0.0),
    Gamma(0.25),
    Gamma(100.0),
    Gamma(0.25, stabilizer=0.1),
    Gamma(0.25, bias="exclude"),
    ZPlus(),
    ZPlus(stabilizer=0.3),
    ZPlus(bias="exclude"),
    AlphaBeta(2.0, 1.0),
    AlphaBeta(1.0, 0.0),
    AlphaBeta(1.5, 0.5, stabilizer=0.2),
    AlphaBeta(2.0, 1.0, bias="exclude"),
    Flat(),
    WSquare(),
    ZBox(-4.0, 4.0),
)

LAYERS = {
    "linear": (lambda: nn.Linear(7, 5), (7,)),
    "linear without bias": (lambda: nn.Linear(7, 5, bias=False), (7,)),
    "linear on tokens": (lambda: nn.Linear(4, 5), (3, 4)),
    "conv": (lambda: nn.Conv2d(3, 4, 3), (3, 5, 5)),
    "conv without bias": (lambda: nn.Conv2d(3, 4, 3, bias=False), (3, 5, 5)),
    "conv 1x1": (lambda: nn.Conv2d(3, 4, 1), (3, 4, 4)),
    "conv stride and padding": (lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1), (2, 6, 5)),
    "conv that leaves a border": (lambda: nn.Conv2d(2, 3, 3, stride=3), (2, 7, 8)),
    "conv dilation": (lambda: nn.Conv2d(2, 3, 3, dilation=2, padding=2), (2, 5, 6)),
    "conv oblong": (lambda: nn.Conv2d(2, 3, (1, 3), stride=(2, 1), padding=(0, 2)), (2, 5, 4)),
    "conv padding same": (lambda: nn.Conv2d(2, 3, 3, padding="same"), (2, 4, 4)),
    "conv groups": (lambda: nn.Conv2d(4, 6, 3, groups=2, padding=1), (4, 4, 4)),
    "conv depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1), (4, 4, 4)),
    "conv depthwise, two each": (lambda: nn.Conv2d(3, 6, 3, groups=3, stride=2), (3, 5, 5)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1), (3, 6)),
    "conv transposed": (
        lambda: nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
        (4, 3, 4),
    ),
    "conv transposed, groups": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2, dilation=2), (4, 3, 3)),
    "conv1d transposed": (lambda: nn.ConvTranspose1d(3, 4, 2, stride=2, bias=False), (3, 5)),
}


def filled(layer: nn.Module, generator: torch.Generator) -> nn.Module:
    """Normal weights in float64; the first output is dead, the second has a bias alone."""
    layer = layer.double()
    for parameter in layer.parameters():
        parameter.data.normal_(generator=generator)
    groups = getattr(layer, "groups", 1)
    if layer.weight.shape[0] > 3 and groups == 1:
        layer.weight.data[:2] = 0
        if layer.bias is not None:
            layer.bias.data[0] = 0
    return layer


def inputs(shape: tuple[int, ...], generator: torch.Generator, n: int = 3) -> Tensor:
    """Signed normal numbers, some exactly zero; the last sample is zero everywhere."""
    x = torch.randn(n, *shape, dtype=torch.float64, generator=generator)
    x[torch.rand(x.shape, generator=generator) < 0.2] = 0
    x[-1] = 0
    return x


def close(actual: Tensor, expected: Tensor) -> None:
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(actual / scale, expected / scale, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.parametrize("rule", RULES_TESTED, ids=str)
def test_rule_is_its_definition(rule: Rule, name: str) -> None:
    build, shape = LAYERS[name]
    generator = torch.Generator().manual_seed(0)
    layer = filled(build(), generator)
    x = inputs(shape, generator)
    z = layer(x).detach()
    initial = torch.randn(z.shape, dtype=torch.float64, generator=generator)

    model = chain(layer, nn.Flatten())
    actual = relevance_at(model, x, initial.flatten(1), Composite(rule), ["input"])["input"]

    close(actual, relevance_of_inputs(rule, layer, x, initial * z))


@pytest.mark.parametrize("name", ["linear", "conv stride and padding", "conv groups"])
@pytest.mark.parametrize("rule", [r for r in RULES_TESTED if not r.input_only], ids=str)
def test_rule_is_its_definition_between_relus(rule: Rule, name: str) -> None:
    # Inputs known to be non-negative and outputs that carry no relevance below zero take shorter ways.
    build, shape = LAYERS[name]
    generator = torch.Generator().manual_seed(1)
    layer = filled(build(), generator)
    images = inputs(shape, generator)
    x = images.relu()
    z = layer(x).detach()
    for behind in (nn.Identity(), nn.ReLU(inplace=True)):
        model = chain(nn.ReLU(), layer, behind, nn.Flatten())
        initial = torch.randn(z.shape, dtype=torch.float64, generator=generator)
        relevance = initial * behind(z.clone())
        actual = relevance_at(model, images, initial.flatten(1), Composite(rule), ["1"], where="input")["1"]
        close(actual, relevance_of_inputs(rule, layer, x, relevance))


class TestRules(RuleSuite):
    rules = RULES_TESTED
    conserving = (
        Epsilon(0.0),
        Gamma(0.25, stabilizer=0.0),
        Gamma(3.0, stabilizer=0.0),
        ZPlus(stabilizer=0.0),
        AlphaBeta(2.0, 1.0, stabilizer=0.0),
        Flat(),
        WSquare(stabilizer=0.0),
        ZBox(-4.0, 4.0, stabilizer=0.0),
    )


def test_every_rule_is_tested() -> None:
    assert {type(rule) for rule in RULES_TESTED} == set(RULES.values())
    assert {type(rule) for rule in TestRules.conserving} == set(RULES.values())


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Module, Tensor, Tensor]:
    """A random convolution, signed inputs with zeros, and initial relevance."""
    groups = draw(st.integers(1, 3))
    channels = groups * draw(st.integers(1, 2))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.integers(1, 2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    layer = nn.Conv2d(
        channels,
        groups * draw(st.integers(1, 2)),
        kernel,
        stride=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=draw(st.integers(0, 2)),
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
    ).double()
    for parameter in layer.parameters():
        parameter.data.normal_(generator=generator)
    # A sign for all weights makes outputs where every contribution pulls the same way.
    match draw(st.sampled_from(["signed", "positive", "negative"])):
        case "positive":
            layer.weight.data.abs_()
        case "negative":
            layer.weight.data.abs_().neg_()
    size = [dilation * (k - 1) + draw(st.integers(1, 3)) for k in kernel]
    x = inputs((channels, *size), generator, n=draw(st.integers(2, 3)))
    initial = torch.randn(layer(x).shape, dtype=torch.float64, generator=generator)
    return layer, x, initial


upto_10 = st.floats(0, 10, allow_subnormal=False)
bias = st.sampled_from(["absorb", "exclude"])
rules = st.one_of(
    st.builds(Epsilon, epsilon=st.floats(0, 1, allow_subnormal=False), bias=bias),
    st.builds(Gamma, gamma=upto_10, bias=bias),
    st.builds(ZPlus, bias=bias),
    st.builds(lambda beta, bias: AlphaBeta(1 + beta, beta, bias=bias), upto_10, bias),
    st.just(Flat()),
    st.just(WSquare()),
    st.builds(ZBox, low=st.floats(-6, -5), high=st.floats(5, 6)),
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(convolutions(), rules)
def test_any_convolution(case: tuple[nn.Module, Tensor, Tensor], rule: Rule) -> None:
    layer, x, initial = case
    model = chain(layer, nn.Flatten())
    actual = relevance_at(model, x, initial.flatten(1), Composite(rule), ["input"])["input"]
    expected = relevance_of_inputs(rule, layer, x, initial * layer(x).detach())
    assert actual.isfinite().all()
    close(actual, expected)
