"""Where relevance is lost: each cause against its definition, and the sums of whole networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution import conservation
from xaiprune.attribution.conservation import Conservation
from xaiprune.attribution.lrp import (
    AlphaBeta,
    Composite,
    Epsilon,
    Gamma,
    Rule,
    WSquare,
    ZPlus,
    relevance_at,
)
from xaiprune.errors import XaipruneError
from xaiprune.testing.small_networks import images_and_labels, small_resnet

EPSILON = 0.1
TINY = 1e-30  # a stabilizer that takes nothing


class Head(nn.Module):
    """A layer whose outputs, summed over positions, are the logits."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y.flatten(2).sum(2) if y.dim() > 2 else y


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def followed(layer: nn.Module, x: Tensor, rule: Rule, **treatments: Any) -> tuple[Conservation, Tensor]:
    """The report, and relevance of the layer's outputs in gradient form: 1 at the explained channel."""
    torch.manual_seed(0)
    layer = layer.apply(lambda m: m.reset_parameters() if hasattr(m, "reset_parameters") else None)
    labels = torch.arange(len(x)) % 3
    return conservation(Head(layer), x, labels, Composite(rule, **treatments)), labels


@pytest.mark.parametrize("bias", ["absorb", "exclude"])
def test_epsilon_by_definition(bias: Any) -> None:
    layer, x = nn.Linear(5, 3), noise(4, 5)
    report, labels = followed(layer, x, Epsilon(EPSILON, bias=bias))
    z = layer(x).detach()[torch.arange(4), labels]
    b = layer.bias.detach()[labels]
    (row,) = report.rows
    if bias == "exclude":
        without = z - b
        lost = {"bias": 0.0, "epsilon": z * EPSILON * without.sign() / (without + EPSILON * without.sign())}
    else:
        bottom = z + EPSILON * z.sign()
        lost = {"bias": z * b / bottom, "epsilon": z * EPSILON * z.sign() / bottom}
    for cause, values in lost.items():
        assert row.lost[cause] == pytest.approx(float(torch.as_tensor(values).sum()), abs=1e-12)
    assert row.above == pytest.approx(float(z.sum())) == report.start
    assert row.below == pytest.approx(report.inputs)
    assert report.elsewhere == pytest.approx(0, abs=1e-12)


LAYERS = {
    "linear": (nn.Linear(5, 3), (4, 5)),
    "convolution": (nn.Conv2d(4, 3, 3, stride=2, padding=1), (2, 4, 6, 6)),
    "dilated": (nn.Conv2d(4, 3, 3, padding=2, dilation=2), (2, 4, 6, 6)),
    "groups": (nn.Conv2d(6, 3, 3, padding=1, groups=3), (2, 6, 5, 5)),
    "one dimension": (nn.Conv1d(4, 3, 3, padding=1), (2, 4, 7)),
}
RULES = [
    Epsilon(0.0),
    Gamma(0.25, stabilizer=TINY),
    ZPlus(stabilizer=TINY),
    AlphaBeta(2.0, 1.0, stabilizer=TINY),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("name", list(LAYERS))
def test_without_a_stabilizer_the_bias_takes_all_that_is_missing(name: str, rule: Rule) -> None:
    layer, shape = LAYERS[name]
    report, _ = followed(layer, noise(*shape), rule)
    (row,) = report.rows
    assert row.lost["bias"] == pytest.approx(report.start - report.inputs, abs=1e-9)
    assert row.lost["epsilon"] == pytest.approx(0, abs=1e-9)


def test_layers_without_bias_lose_nothing_to_it() -> None:
    report, _ = followed(nn.Linear(5, 3, bias=False), noise(4, 5), Epsilon(EPSILON))
    assert report.lost["bias"] == 0
    assert report.lost["epsilon"] != 0
    report, _ = followed(nn.Conv2d(3, 3, 3), noise(2, 3, 5, 5), WSquare())
    assert report.lost["bias"] == 0


def test_a_norm_loses_what_its_own_bias_adds() -> None:
    layer = nn.LayerNorm(5)
    report, labels = followed(layer, noise(3, 5), Epsilon())
    assert report.lost["norm"] == pytest.approx(float(layer.bias.detach()[labels].sum()), abs=1e-12)
    report, _ = followed(nn.LayerNorm(5, elementwise_affine=False), noise(3, 5), Epsilon(), norm="gradient")
    assert report.inputs == pytest.approx(
        0, abs=1e-3
    )  # a norm's output does not change with its input's scale
    assert report.lost["norm"] == pytest.approx(report.start, abs=1e-3)


def test_the_softmax_and_activations() -> None:
    x = noise(3, 5)
    s = x.softmax(-1)
    report, labels = followed(nn.Softmax(-1), x, Epsilon())
    right = torch.nn.functional.one_hot(labels, 5).double()
    below = x * s * (right - (s * right).sum(-1, keepdim=True))
    assert report.lost["softmax"] == pytest.approx(float((s * right).sum() - below.sum()), abs=1e-12)
    report, _ = followed(nn.GELU(), x, Epsilon())
    assert report.lost["activation"] == pytest.approx(0, abs=1e-12)
    report, _ = followed(nn.GELU(), x, Epsilon(), activation="gradient")
    assert report.lost["activation"] == pytest.approx(report.start - report.inputs)


def test_an_image_network_adds_up() -> None:
    images, labels = images_and_labels()
    model = small_resnet()
    report = conservation(model, images, labels, Composite(Epsilon(1e-3)))
    with torch.no_grad():
        right = model(images).gather(1, labels[:, None]).sum()
    assert report.start == pytest.approx(float(right), rel=1e-5)
    assert report.elsewhere == pytest.approx(0, abs=1e-3 * abs(report.start))
    text = str(report)
    assert all(row.module in text for row in report.rows)
    assert "lost to" in text


class Positions(nn.Module):
    """Embeddings of tokens and of positions, and an MLP without biases."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokens, self.positions = nn.Embedding(9, 6), nn.Embedding(4, 6)
        self.mlp = nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 9, bias=False))
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        return self.mlp(self.tokens(ids) + self.positions(torch.arange(ids.shape[1])))


def test_text_loses_to_its_positions_what_they_add() -> None:
    model, ids = Positions(), torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    labels = torch.tensor([[2, 3, 4, -100], [6, 7, 8, -100]])
    composite = Composite(Epsilon(0.0))
    report = conservation(model, ids, labels, composite)
    assert report.lost == pytest.approx(dict.fromkeys(report.lost, 0.0), abs=1e-9)
    initial = torch.zeros(2, 4, 9, dtype=torch.float64)
    for n in range(2):
        for t in range(3):
            initial[n, t, labels[n, t]] = 1
    found = relevance_at(model, ids, initial, composite, ["mlp.0"], where="input")["mlp.0"]
    tokens = relevance_at(model, ids, initial, composite, ["input"])["input"]
    assert report.inputs == pytest.approx(float(tokens.sum()))
    assert report.elsewhere == pytest.approx(float(found.sum() - tokens.sum()), abs=1e-9)
    assert abs(report.elsewhere) > 1e-3


def test_a_llama_loses_nothing_where_attention_weights_are_constants() -> None:
    pytest.importorskip(
        "transformers", reason="transformers is not installed (pip install xaiprune[language])"
    )
    from tests.attribution.test_transformers import CLASSES, TEXT, build

    model = build(TEXT["Llama"], "sdpa")
    ids = torch.randint(CLASSES, (2, 6), generator=torch.Generator().manual_seed(1))
    labels = torch.cat([ids[:, 1:], torch.full((2, 1), -100)], 1)
    report = conservation(model, ids, labels, Composite(Epsilon(0.0), softmax="cp"))
    assert report.inputs == pytest.approx(report.start, rel=1e-6)
    attnlrp = conservation(model, ids, labels, Composite(Epsilon(0.0)))
    assert attnlrp.start - attnlrp.inputs == pytest.approx(attnlrp.lost["softmax"], rel=1e-5)
    assert {"model.layers.0.self_attn", "model.layers.1.mlp.down_proj"} <= {row.module for row in report.rows}


def test_a_transposed_convolution_with_a_bias_is_refused() -> None:
    with pytest.raises(XaipruneError, match="layer layer: what a transposed convolution loses"):
        followed(nn.ConvTranspose2d(4, 3, 3), noise(2, 4, 5, 5), Epsilon(EPSILON))
