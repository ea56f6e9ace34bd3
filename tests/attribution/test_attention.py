"""Attention, norms, activations and products against their definitions (float64)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xaiprune.attribution.lrp import Composite, Epsilon, Gamma, relevance_at
from xaiprune.testing.operations import FunctionNetwork
from xaiprune.testing.small_networks import Attention, chain, small_transformer

from .dense import layer_norm_inputs, product_halves, relevance_of_inputs, softmax_inputs

EXACT = Epsilon(0.0)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def at_input(function: object, x: Tensor, relevance: Tensor, composite: Composite) -> Tensor:
    """Relevance of x when the outputs of ``function(x)`` carry ``relevance``."""
    model = FunctionNetwork(function)
    with torch.no_grad():
        initial = relevance.flatten(1) / model(x)
    return relevance_at(model, x, initial, composite, ["input"])["input"]


@pytest.mark.parametrize("variant", ["attnlrp", "cp", "zplus"])
@pytest.mark.parametrize(
    "spelling", [lambda x: F.softmax(x, dim=-1), lambda x: x.softmax(-1), nn.Softmax(-1)]
)
def test_softmax(variant: str, spelling: object) -> None:
    x, relevance = normal(2, 3, 4, 5) * 2, normal(2, 3, 4, 5, seed=1)
    x[0, 0, 0] = x[0, 0, 0].abs()
    x[0, 0, 1] = -x[0, 0, 1].abs()
    x[0, 0, 2, :2] = 0

    def with_a_way_around(x: Tensor) -> Tensor:  # cp leaves no graph behind a softmax alone
        return torch.cat((spelling(x), x), dim=1)

    both = torch.cat((relevance, torch.zeros_like(relevance)), dim=1)
    model = FunctionNetwork(with_a_way_around)
    with torch.no_grad():
        initial = torch.where(both == 0, 0, both / torch.cat((x.softmax(-1), torch.ones_like(x)), 1)).flatten(
            1
        )
    actual = relevance_at(model, x, initial, Composite(EXACT, softmax=variant), ["input"])["input"]
    torch.testing.assert_close(actual, softmax_inputs(x, relevance, variant), rtol=1e-8, atol=1e-10)


class UnfusedAttention(Attention):
    """The same attention spelled out, with modules to read at."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.scale = (width // heads) ** -0.5
        self.softmax = nn.Softmax(-1)
        self.weights = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = self.weights(self.softmax(q * self.scale @ k.transpose(-2, -1)))
        return self.proj((weights @ v).transpose(1, 2).reshape(n, tokens, width))


def attention(fused: bool) -> nn.Module:
    torch.manual_seed(0)
    block = (Attention if fused else UnfusedAttention)(12, 3).double()
    for parameter in block.parameters():
        parameter.data.normal_(0, 0.6, generator=torch.Generator().manual_seed(parameter.numel()))
    return chain(block, nn.Flatten())


def heads(x: Tensor) -> Tensor:
    """(N, tokens, 12) -> (N, 3 heads, tokens, 4)."""
    return x.unflatten(-1, (3, 4)).transpose(1, 2)


def dense_attention(block: Attention, x: Tensor, relevance: Tensor, variant: str) -> Tensor:
    """Relevance of an attention block's input, every step from its definition."""
    with torch.no_grad():
        qkv = block.qkv(x)
        q, k, v = (heads(part) for part in qkv.chunk(3, -1))
        q_scaled, k_t = q * 4**-0.5, k.transpose(-2, -1)
        similarity = q_scaled @ k_t
        weights = similarity.softmax(-1)
        out = (weights @ v).transpose(1, 2).flatten(-2)
    at_out = heads(relevance_of_inputs(EXACT, block.proj, out, relevance))
    if variant == "cp":  # all of A v goes to v, as shares A_ij v_jd / o_id
        at_v = 2 * product_halves(weights, v, at_out)[1]
        at_q = at_k = torch.zeros_like(q)
    else:
        at_weights, at_v = product_halves(weights, v, at_out)
        at_q, at_k = product_halves(q_scaled, k_t, softmax_inputs(similarity, at_weights, variant))
        at_k = at_k.transpose(-2, -1)
    at_qkv = torch.cat([part.transpose(1, 2).flatten(-2) for part in (at_q, at_k, at_v)], -1)
    return relevance_of_inputs(EXACT, block.qkv, x, at_qkv)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("variant", ["attnlrp", "cp", "zplus"])
def test_attention_block(variant: str, fused: bool) -> None:
    model, x = attention(fused), normal(2, 4, 12)
    with torch.no_grad():
        z = model[0](x)
    initial = normal(2, 48, seed=2)
    actual = relevance_at(model, x, initial, Composite(EXACT, softmax=variant), ["input"])["input"]
    expected = dense_attention(model[0], x, initial.view_as(z) * z, variant)
    scale = expected.abs().max()
    torch.testing.assert_close(actual / scale, expected / scale, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("fused", [True, False])
def test_unsplit_attention_is_the_plain_gradient(fused: bool) -> None:
    model, x = attention(fused), normal(2, 4, 12)
    initial = normal(2, 48, seed=2)
    actual = relevance_at(model, x, initial, Composite(EXACT, softmax="gradient"), ["input"])["input"]
    x = x.requires_grad_()
    (g,) = torch.autograd.grad((model(x) * initial).sum(), x)
    torch.testing.assert_close(actual, (x * g).detach(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("variant", "share"), [("attnlrp", 0.5), ("zplus", 0.5)])
def test_relevance_of_attention_weights_over_keys_is_a_share_of_the_heads_output(
    variant: str, share: float
) -> None:
    model, x = attention(fused=False), normal(2, 4, 12)
    composite = Composite(Gamma(0.25), softmax=variant)
    initial = normal(2, 48, seed=3)
    at_weights = relevance_at(model, x, initial, composite, ["0.weights"])["0.weights"]
    at_heads = relevance_at(model, x, initial, composite, ["0.proj"], where="input")["0.proj"]
    torch.testing.assert_close(at_weights.sum(-1), share * heads(at_heads).sum(-1), rtol=1e-9, atol=1e-10)


def test_cp_gives_values_all_and_queries_and_keys_nothing() -> None:
    model, x = attention(fused=True), normal(2, 4, 12)
    initial = normal(2, 48, seed=3)
    at_qkv = relevance_at(model, x, initial, Composite(EXACT, softmax="cp"), ["0.qkv"])["0.qkv"]
    at_heads = relevance_at(model, x, initial, Composite(EXACT, softmax="cp"), ["0.proj"], where="input")[
        "0.proj"
    ]
    q, k, v = (heads(part) for part in at_qkv.chunk(3, -1))
    assert not q.any()
    assert not k.any()
    # Summed over tokens, each channel of a head's values gets what that channel of its output had.
    torch.testing.assert_close(v.sum(2), heads(at_heads).sum(2), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(affine: bool) -> None:
    norm = nn.LayerNorm(6, elementwise_affine=True).double()
    if affine:
        norm.weight.data, norm.bias.data = normal(6, seed=4), normal(6, seed=5)
    x, relevance = normal(2, 3, 6), normal(2, 3, 6, seed=1)
    actual = at_input(norm, x, relevance, Composite(EXACT))
    torch.testing.assert_close(actual, layer_norm_inputs(x, norm, relevance), rtol=1e-8, atol=1e-10)


def test_rms_norm_passes_relevance_on() -> None:
    norm = nn.RMSNorm(6).double()
    norm.weight.data = normal(6, seed=4)
    x, relevance = normal(2, 3, 6), normal(2, 3, 6, seed=1)
    torch.testing.assert_close(at_input(norm, x, relevance, Composite(EXACT)), relevance)


def test_group_norm_of_one_group_is_a_layer_norm() -> None:
    group, layer = nn.GroupNorm(1, 6).double(), nn.LayerNorm((6, 2, 2)).double()
    x, relevance = normal(2, 6, 2, 2), normal(2, 6, 2, 2, seed=1)
    torch.testing.assert_close(
        at_input(group, x, relevance, Composite(EXACT)), at_input(layer, x, relevance, Composite(EXACT))
    )


ACTIVATIONS = [
    nn.GELU(),
    nn.GELU(approximate="tanh"),
    nn.SiLU(),
    nn.SiLU(inplace=True),
    nn.Hardswish(inplace=True),
    nn.ReLU(inplace=True),
    nn.ReLU6(inplace=True),
    nn.LeakyReLU(0.1),
    nn.ELU(),
    nn.Tanh(),
    nn.Mish(),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations_pass_relevance_on(activation: nn.Module) -> None:
    x = normal(4, 6) * 3
    relevance = normal(4, 6, seed=1)
    with torch.no_grad():
        dead = activation(x.clone()) == 0
        initial = torch.where(dead, 1, relevance / activation(x.clone()))
    actual = relevance_at(FunctionNetwork(activation), x, initial, Composite(EXACT), ["input"])["input"]
    torch.testing.assert_close(actual, torch.where(dead, 0, relevance))


@pytest.mark.parametrize("activation", ACTIVATIONS[:5], ids=str)
def test_activations_can_be_their_gradient(activation: nn.Module) -> None:
    x = normal(4, 6) * 3
    initial = normal(4, 6, seed=1)
    actual = relevance_at(
        FunctionNetwork(activation), x, initial, Composite(EXACT, activation="gradient"), ["input"]
    )["input"]
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad((activation(leaf.clone()) * initial).sum(), leaf)
    torch.testing.assert_close(actual, x * g)


@pytest.mark.parametrize("activation", [nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.Tanh(), nn.ELU()], ids=str)
def test_activations_at_zero_have_their_slope(activation: nn.Module) -> None:
    torch.manual_seed(0)
    first = nn.Linear(3, 4, bias=False).double()
    first.weight.data[0] = 0  # its output is exactly zero
    model = chain(first, activation, nn.Linear(4, 2).double())
    x = normal(2, 3)
    found = relevance_at(
        model, x, torch.ones(2, 2, dtype=torch.float64), Composite(EXACT), ["0", "1", "input"]
    )
    assert all(value.isfinite().all() for value in found.values())


class Gated(nn.Module):
    """A gate from a sigmoid times a signal, as squeeze-excite writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.signal = nn.Linear(5, 4)
        self.squeeze = nn.Linear(5, 4)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return self.signal(x) * self.gate(self.squeeze(x))


@pytest.mark.parametrize(("product", "to_gate"), [("uniform", 0.5), ("gate", 0.0), ("gradient", 1.0)])
def test_products_of_a_gate_and_a_signal(product: str, to_gate: float) -> None:
    torch.manual_seed(0)
    model, x = Gated().double().eval(), normal(3, 5)
    initial = normal(3, 4, seed=1)
    with torch.no_grad():
        relevance = model(x) * initial
    composite = Composite(EXACT, product=product)
    at_signal = relevance_at(model, x, initial, composite, ["signal"])["signal"]
    to_signal = 1.0 if product != "uniform" else 0.5
    torch.testing.assert_close(at_signal, relevance * to_signal)
    at_gate = relevance_at(model, x, initial, composite, ["gate"])["gate"]
    torch.testing.assert_close(at_gate, relevance * to_gate)


def test_a_constant_factor_takes_nothing() -> None:
    scale = nn.Parameter(normal(6, seed=4))
    x, relevance = normal(3, 6), normal(3, 6, seed=1)
    torch.testing.assert_close(at_input(lambda x: x * scale, x, relevance, Composite(EXACT)), relevance)


def test_a_constant_summand_takes_its_part() -> None:
    position = nn.Parameter(normal(6, seed=4))
    x, relevance = normal(3, 6), normal(3, 6, seed=1)
    actual = at_input(lambda x: x + position, x, relevance, Composite(EXACT))
    torch.testing.assert_close(actual, relevance * x / (x + position.detach()))


def test_lxts_explicit_functions_agree() -> None:
    reason = "lxt is not installed (a reference only; pip install --no-deps lxt)"
    lxt = pytest.importorskip("lxt.explicit.functional", reason=reason)
    model = small_transformer().double()
    tokens = normal(2, 5, 12)

    class FromTokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: Tensor) -> Tensor:
            x = x + model.attn(model.norm1(x))
            x = x + model.fc2(model.act(model.fc1(model.norm2(x))))
            return model.head(x.mean(1))

    initial = F.one_hot(torch.tensor([0, 3]), 5).double()
    actual = relevance_at(FromTokens().eval(), tokens, initial, Composite(EXACT), ["input"])["input"]

    def linear(x: Tensor, layer: nn.Linear) -> Tensor:
        return lxt.linear_epsilon(x, layer.weight, layer.bias, 0.0)

    def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
        return lxt.layer_norm(x, layer.weight, layer.bias, layer.eps)

    leaf = tokens.clone().requires_grad_()
    q, k, v = (heads(part) for part in linear(norm(leaf, model.norm1), model.attn.qkv).chunk(3, -1))
    similarity = lxt.matmul(q, k.transpose(-2, -1), False, 0.0)
    # lxt's functions carry relevance where autograd carries gradients, so a scale must be hidden from it.
    similarity = similarity + (similarity * 4**-0.5 - similarity).detach()
    out = lxt.matmul(lxt.softmax(similarity, -1), v, False, 0.0).transpose(1, 2).flatten(-2)
    x = lxt.add2(leaf, linear(out, model.attn.proj), False, 0.0)
    hidden = linear(norm(x, model.norm2), model.fc1)
    hidden = hidden + (model.act(hidden) - hidden).detach()
    x = lxt.add2(x, linear(hidden, model.fc2), False, 0.0)
    logits = linear(lxt.mean(x, 1, False, 0.0), model.head)
    (expected,) = torch.autograd.grad(logits, leaf, initial * logits.detach())
    # lxt adds its stabilizers without a sign, LayerNorm's own epsilon among them
    assert (actual - expected).norm() < 1e-4 * expected.norm()
