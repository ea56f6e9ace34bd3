"""Norms written out, quotients, and products in every spelling, against their definitions (float64)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xaiprune.attribution.lrp import PLAIN_GRADIENT, Composite, Epsilon, Gamma, Recording, ZPlus, relevance_at
from xaiprune.attribution.lrp.rules import Rule
from xaiprune.testing.operations import FunctionNetwork
from xaiprune.testing.small_networks import chain

from .dense import relevance_of_inputs

Function = Callable[[Tensor], Tensor]
EXACT = Epsilon(0.0)
COMPOSITES = (
    Composite(EXACT),
    Composite(EXACT, softmax="cp", product="gate"),
    Composite(EXACT, softmax="zplus", product="uniform"),
    Composite(EXACT, norm="gradient"),
    Composite(EXACT, norm="gradient", product="gradient", activation="gradient"),
    PLAIN_GRADIENT,
)
every_composite = pytest.mark.parametrize("composite", COMPOSITES, ids=range(len(COMPOSITES)))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


X, SCALE = normal(3, 4, 6, seed=1), normal(6, seed=2)


def relevance(function: Function, composite: Composite, x: Tensor = X) -> Tensor:
    """Relevance of x, started at seeded numbers in gradient form."""
    model = FunctionNetwork(function)
    with torch.no_grad():
        initial = normal(*model(x).shape, seed=3)
    return relevance_at(model, x, initial, composite, ["input"])["input"]


def input_times_gradient(function: Function, x: Tensor = X) -> Tensor:
    leaf = x.clone().requires_grad_()
    out = FunctionNetwork(function)(leaf)
    (g,) = torch.autograd.grad((out * normal(*out.shape, seed=3)).sum(), leaf)
    return x * g


def close(actual: Tensor, expected: Tensor) -> None:
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(actual / scale, expected / scale, rtol=1e-9, atol=1e-11)


def mean_square(x: Tensor) -> Tensor:
    return x.pow(2).mean(-1, keepdim=True) + 1e-6


SPELLINGS: dict[str, tuple[Function, Function]] = {
    # name: (written out, PyTorch's function)
    "rms_norm": (
        lambda x: SCALE * (x * torch.rsqrt(mean_square(x))),
        lambda x: F.rms_norm(x, (6,), SCALE, 1e-6),
    ),
    "rms_norm, divided": (lambda x: x / mean_square(x).sqrt(), lambda x: F.rms_norm(x, (6,), None, 1e-6)),
    "rms_norm, power": (lambda x: x * mean_square(x).pow(-0.5), lambda x: F.rms_norm(x, (6,), None, 1e-6)),
    "rms_norm, in place": (
        lambda x: (x + 0).mul_(x.square().mean(-1, keepdim=True).add_(1e-6).rsqrt_()),
        lambda x: F.rms_norm(x, (6,), None, 1e-6),
    ),
    "rms_norm, reciprocal": (
        lambda x: (1 / torch.sqrt((x * 1.0).square().mean(-1, keepdim=True).float().double() + 1e-6)) * x,
        lambda x: F.rms_norm(x, (6,), None, 1e-6),
    ),
    "rms_norm, x * x": (
        lambda x: x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6),
        lambda x: F.rms_norm(x, (6,), None, 1e-6),
    ),
    "attention weights cast": (
        lambda x: (x @ x.mT).float().softmax(-1).type_as(x) @ x,
        lambda x: F.softmax(x @ x.mT, -1, dtype=torch.float32).double() @ x,
    ),
    "layer_norm": (
        lambda x: (x - x.mean(-1, keepdim=True)) * (x.var(-1, correction=0, keepdim=True) + 1e-5).rsqrt(),
        lambda x: F.layer_norm(x, (6,)),
    ),
    "layer_norm, power": (
        lambda x: (x - x.mean(-1, True)) / ((x - x.mean(-1, True)).pow(2).mean(-1, True) + 1e-5).sqrt(),
        lambda x: F.layer_norm(x, (6,)),
    ),
    "normalize": (
        lambda x: x / x.norm(dim=-1, keepdim=True).clamp_min(1e-12),
        lambda x: F.normalize(x, dim=-1),
    ),
    "normalize, linalg": (
        lambda x: x / torch.linalg.vector_norm(x, dim=-1, keepdim=True),
        lambda x: F.normalize(x, dim=-1),
    ),
    "normalize, power": (
        lambda x: x / x.pow(2).sum(-1, keepdim=True).sqrt(),
        lambda x: F.normalize(x, dim=-1),
    ),
    "square": (lambda x: x.relu() ** 2, lambda x: x.relu().square()),
    "glu": (lambda x: x[..., :3] * x[..., 3:].sigmoid(), lambda x: F.glu(x)),
    "baddbmm": (
        lambda x: (0.5 * x[:, :, :4] + 2 * (x @ x.mT)).softmax(-1) @ x,
        lambda x: torch.baddbmm(x[:, :, :4], x, x.mT, beta=0.5, alpha=2).softmax(-1) @ x,
    ),
    "attention as einsum": (
        lambda x: (x @ x.mT).softmax(-1) @ x,
        lambda x: torch.einsum(
            "nqk,nkd->nqd", torch.einsum("nqd,nkd->nqk", x, x).softmax(-1), x
        ),
    ),
    "operands by name": (
        lambda x: torch.div(input=torch.mul(other=x, input=x.sigmoid()), other=torch.add(input=x, other=9)),
        lambda x: x.sigmoid() * x / (x + 9),
    ),
    "layer by name": (
        lambda x: F.gelu(input=F.linear(input=x, weight=SCALE.diag()), approximate="tanh"),
        lambda x: F.gelu(F.linear(x, SCALE.diag()), approximate="tanh"),
    ),
    "power of 0": (lambda x: x**0 * x, lambda x: x * 1),
    "addcmul": (lambda x: x + 0.5 * x.sigmoid() * x, lambda x: torch.addcmul(x, x.sigmoid(), x, value=0.5)),
}  # fmt: skip


@every_composite
@pytest.mark.parametrize("name", list(SPELLINGS))
def test_what_is_written_out_is_what_pytorchs_function_is(name: str, composite: Composite) -> None:
    written_out, function = SPELLINGS[name]
    expected = relevance(function, composite)
    scale = expected.abs().max()
    tolerance = 1e-6 if "reciprocal" in name or "cast" in name else 1e-9  # they go through float32
    torch.testing.assert_close(
        relevance(written_out, composite) / scale, expected / scale, rtol=tolerance, atol=tolerance
    )


DIVISORS: dict[str, tuple[Function, Function]] = {
    # name: (the function, the same with what scales it as a constant)
    "a length": (lambda x: x / x.norm(dim=1)[:, None], lambda x: x / x.norm(dim=1)[:, None].detach()),
    "a sum": (lambda x: x / x.abs().sum(1, True), lambda x: x / x.abs().sum(1, True).detach()),
    "in place": (lambda x: (x + 0).div_(x.sum(1, True)), lambda x: x / x.sum(1, True).detach()),
    "response": (  # GRN without its shortcut
        lambda x: x * (x.norm(dim=1, keepdim=True) / (x.norm(dim=1, keepdim=True).mean(-1, True) + 1e-6)),
        lambda x: x
        * (x.norm(dim=1, keepdim=True) / (x.norm(dim=1, keepdim=True).mean(-1, True) + 1e-6)).detach(),
    ),
    "a reciprocal": (lambda x: x * (2 / x.var(1)[:, None]), lambda x: x * (2 / x.var(1)[:, None]).detach()),
    "quotient added": (
        lambda x: torch.addcdiv(x, x, x.std(-1, keepdim=True), value=2),
        lambda x: x + 2 * x / x.std(-1, keepdim=True).detach(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(DIVISORS))
def test_norms_and_divisors_are_constants(name: str) -> None:
    function, with_a_constant = DIVISORS[name]
    close(relevance(function, Composite(EXACT)), input_times_gradient(with_a_constant))
    close(relevance(function, Composite(EXACT, norm="gradient")), input_times_gradient(function))


def test_linear_attention_conserves_relevance() -> None:
    # relu(q) (relu(k)^T v) / (relu(q) sum relu(k)): the divisor is a constant, the products split evenly.
    def attention(x: Tensor) -> Tensor:
        q, k = x.relu(), x.roll(1, 1).relu()
        return (q @ (k.mT @ x)) / (q @ k.sum(1)[..., None] + 1e-6)

    def constant(x: Tensor) -> Tensor:
        q, k = x.relu(), x.roll(1, 1).relu()
        return (q @ (k.mT @ x)) / (q @ k.sum(1)[..., None] + 1e-6).detach()

    model = FunctionNetwork(attention)
    with torch.no_grad():
        logits = model(X)
    initial = normal(*logits.shape, seed=3)
    found = relevance_at(model, X, initial, Composite(EXACT), ["input"])["input"]
    torch.testing.assert_close(found.sum((1, 2)), (initial * logits).sum(1))
    unsplit = Composite(EXACT, softmax="gradient", product="gradient")
    close(relevance(attention, unsplit), input_times_gradient(constant))


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: x.relu().pow(3).mean(1).pow(1 / 3),  # generalised mean
        lambda x: x.clamp(min=1e-6).pow(nn.Parameter(torch.full((1,), 3.0))).mean(1).pow(1 / 3),
        lambda x: x.norm(dim=1),
        lambda x: (x.relu() ** 2).mean(1),  # a squared ReLU and average pooling
        lambda x: 0.8 * x.relu() ** 2,  # StarReLU
        lambda x: x.abs().amax(1),
        lambda x: x.max(1).values,
        lambda x: torch.maximum(x, x.roll(1, 1)),
        lambda x: x.clamp(-0.5, 0.5),
    ],
)
def test_powers_and_lengths_that_are_read_pass_relevance_on(pool: Function) -> None:
    x = X.relu() if pool(X).isnan().any() else X
    with torch.no_grad():
        out = pool(x).flatten(1)
    total = (normal(*out.shape, seed=3) * out).sum(1)
    found = relevance(pool, Composite(EXACT), x).sum((1, 2))
    torch.testing.assert_close(found, total, rtol=1e-5, atol=1e-9)


# -- layers in other spellings -------------------------------------------------------------------------

W = normal(5, 6, seed=4)
MATRICES: dict[str, tuple[Function, Function]] = {
    # name: (another spelling, the linear layer)
    "matmul": (lambda x: x @ W.t(), lambda x: F.linear(x, W)),
    "matmul of a parameter": (lambda x: x @ nn.Parameter(W.t()), lambda x: F.linear(x, W)),
    "addmm": (
        lambda x: torch.addmm(W[:, 0], x.flatten(0, 1), W.t()).view(len(x), 4, 5),
        lambda x: F.linear(x, W, W[:, 0]),
    ),
    "from the left": (lambda x: W @ x.mT, lambda x: F.linear(x, W).mT),
    "a vector": (lambda x: x @ W[0], lambda x: F.linear(x, W[:1])[..., 0]),
    "a vector from the left": (lambda x: W[0] @ x.mT, lambda x: F.linear(x, W[:1])[..., 0]),
    "einsum": (lambda x: torch.einsum("ntc, dc -> ndt", x, W), lambda x: F.linear(x, W).mT),
    "einsum of numbers": (
        lambda x: torch.einsum(x, [0, 1, 2], W, [3, 2], [0, 1, 3]),
        lambda x: F.linear(x, W),
    ),
    "einsum, constant first": (lambda x: torch.einsum("dc,...c->...d", W, x), lambda x: F.linear(x, W)),
    "einsum over two indices": (
        lambda x: torch.einsum("nabc,pqbc->napq", x.view(-1, 4, 2, 3), W[:4].view(2, 2, 2, 3)),
        lambda x: F.linear(x, W[:4]).view(-1, 4, 2, 2),
    ),
}  # fmt: skip
RULES = (Gamma(0.25), ZPlus(), Epsilon(0.1, bias="exclude"))


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("name", list(MATRICES))
def test_a_matrix_is_a_layer_however_it_is_applied(name: str, rule: Rule) -> None:
    spelling, layer = MATRICES[name]
    close(relevance(spelling, Composite(rule)), relevance(layer, Composite(rule)))
    model = FunctionNetwork(spelling)
    assert len(Recording(model, X, ()).layers) == 1  # with the identity behind it, of the same module


CONSTANTS: dict[str, Function] = {
    "batched": lambda x: x @ normal(6, 2, seed=5).expand(len(x), 6, 2),
    "batched, from the left": lambda x: normal(3, 6, seed=5).expand(len(x), 3, 6) @ x.mT,
    "a matrix for each position": lambda x: torch.einsum("ntc,tcd->ntd", x, normal(4, 6, 2, seed=5)),
    "three operands": lambda x: torch.einsum("ntc,tc,d->nd", x, normal(4, 6, seed=5), W[:, 0]),
}


@pytest.mark.parametrize("name", list(CONSTANTS))
def test_other_constants_pass_relevance_on(name: str) -> None:
    composite = Composite(Gamma(0.25, stabilizer=0.0))
    close(relevance(CONSTANTS[name], composite), input_times_gradient(CONSTANTS[name]))


def test_an_einsum_of_three_activations_is_refused() -> None:
    with pytest.raises(ValueError, match="more than two activations"):
        relevance(lambda x: torch.einsum("ntc,ntc,ntc->nt", x, x, x), Composite(EXACT))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_batch_norm_is_folded_into_a_transposed_convolution(rule: Rule, groups: int) -> None:
    torch.manual_seed(0)
    pair = (
        nn.Sequential(nn.ConvTranspose2d(4, 6, 3, stride=2, groups=groups), nn.BatchNorm2d(6)).double().eval()
    )
    pair[1].weight.data, pair[1].bias.data = normal(6, seed=5), normal(6, seed=6)
    pair[1].running_mean, pair[1].running_var = normal(6, seed=7), normal(6, seed=8).abs() + 0.5
    x = normal(2, 4, 3, 3)
    with torch.no_grad():
        z = pair(x)
    initial = normal(*z.shape, seed=9)
    model = chain(pair, nn.Flatten())
    found = relevance_at(model, x, initial.flatten(1), Composite(rule), ["input"])["input"]
    close(found, relevance_of_inputs(rule, pair, x, initial * z))


# -- attention -----------------------------------------------------------------------------------------


@every_composite
def test_attention_with_a_bias_that_depends_on_the_image(composite: Composite) -> None:
    table = normal(6, 4, seed=5)  # as relative positions: logits that the queries give to each key

    def fused(x: Tensor) -> Tensor:
        q, k, v = x[:, None], 2 * x.roll(1, 1)[:, None], x.roll(2, 1)[:, None]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=(q @ table), scale=0.5)

    def unfused(x: Tensor) -> Tensor:
        q, k, v = x[:, None], 2 * x.roll(1, 1)[:, None], x.roll(2, 1)[:, None]
        return ((q * 0.5) @ k.mT + q @ table).softmax(-1) @ v

    close(relevance(fused, composite), relevance(unfused, composite))


@every_composite
def test_attention_of_grouped_queries(composite: Composite) -> None:
    def heads(x: Tensor, count: int) -> Tensor:
        return x.unflatten(-1, (-1, 1))[:, :, :count].transpose(1, 2)

    def grouped(x: Tensor) -> Tensor:
        q, k, v = heads(x, 6), heads(x.roll(1, 1), 2), heads(x.roll(2, 1), 2)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    def repeated(x: Tensor) -> Tensor:
        q, k, v = heads(x, 6), heads(x.roll(1, 1), 2), heads(x.roll(2, 1), 2)
        k, v = (t.repeat_interleave(3, 1) for t in (k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    close(relevance(grouped, composite), relevance(repeated, composite))


CONSTANT = normal(1, 4, 6, seed=6)
BESIDE_CONSTANTS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "queries": lambda x: (CONSTANT.expand(len(x), -1, -1), x, x.roll(1, 1)),
    "keys": lambda x: (x, CONSTANT.expand(len(x), -1, -1), x.roll(1, 1)),
    "values": lambda x: (x, x.roll(1, 1), CONSTANT.expand(len(x), -1, -1)),
    "queries and keys": lambda x: (CONSTANT.expand(len(x), -1, -1), CONSTANT.expand(len(x), -1, -1) * 2, x),
    "queries and values": lambda x: (CONSTANT.expand(len(x), -1, -1), x, CONSTANT.expand(len(x), -1, -1)),
}


@every_composite
@pytest.mark.parametrize("name", list(BESIDE_CONSTANTS))
def test_attention_beside_constants(name: str, composite: Composite) -> None:
    # Beside a way around, since under CP-LRP nothing passes the weights.
    def fused(x: Tensor) -> Tensor:
        q, k, v = (part[:, None] for part in BESIDE_CONSTANTS[name](x))
        return torch.cat((F.scaled_dot_product_attention(q, k, v, scale=0.5)[:, 0], x), 1)

    def unfused(x: Tensor) -> Tensor:
        q, k, v = BESIDE_CONSTANTS[name](x)
        return torch.cat((((q * 0.5) @ k.mT).softmax(-1) @ v, x), 1)

    close(relevance(fused, composite), relevance(unfused, composite))


def test_a_mixture_of_attention_weights_are_attention_weights() -> None:
    # ConViT: values get everything under CP-LRP, what the weights are made of nothing.
    position = normal(3, 4, 4, seed=5).softmax(-1)

    def mixed(x: Tensor) -> Tensor:
        weights = 0.3 * (x @ x.mT).softmax(-1) + 0.7 * position
        return (weights / weights.sum(-1, keepdim=True)) @ x

    def constant(x: Tensor) -> Tensor:
        weights = 0.3 * (x @ x.mT).softmax(-1) + 0.7 * position
        return (weights / weights.sum(-1, keepdim=True)).detach() @ x

    close(relevance(mixed, Composite(EXACT, softmax="cp")), input_times_gradient(constant))


def test_parts_that_are_replaced_take_nothing() -> None:
    def replaced(x: Tensor) -> Tensor:
        x = x + 0
        x[:, 0] = x[:, 1] * 2
        return x

    def joined(x: Tensor) -> Tensor:
        return torch.cat((x[:, 1:2] * 2, x[:, 1:]), 1)

    close(relevance(replaced, Composite(EXACT)), relevance(joined, Composite(EXACT)))
