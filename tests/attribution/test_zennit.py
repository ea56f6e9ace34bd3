"""Zennit 0.5.1 on torchvision's networks: the same relevance at the image and half-way up.

Zennit's BatchNorm fold leaves eps out and its pooling rule has a stabilizer, so the networks here have eps 0
and its stabilizers are set to next to nothing; what remains is arithmetic.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from xaiprune.attribution.lrp import (
    AlphaBeta,
    Composite,
    Epsilon,
    Gamma,
    Match,
    ZPlus,
    relevance_at,
    to_zennit,
    zennit_code,
)
from xaiprune.attribution.lrp.rules import Rule
from xaiprune.errors import XaipruneError

from .architectures import randomized, small_vgg

zennit = pytest.importorskip("zennit", reason="zennit is not installed (pip install zennit)")
from zennit import rules as zrules  # noqa: E402
from zennit.attribution import Gradient  # noqa: E402
from zennit.composites import LayerMapComposite  # noqa: E402
from zennit.torchvision import ResNetCanonizer, VGGCanonizer  # noqa: E402
from zennit.types import Activation, AvgPool, Convolution, Linear  # noqa: E402

NETWORKS = {
    "vgg11": (lambda: small_vgg("vgg11"), VGGCanonizer, "features.10"),
    "vgg16_bn": (lambda: small_vgg("vgg16_bn"), VGGCanonizer, "features.23"),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=7), ResNetCanonizer, "layer2"),
    "resnet50": (lambda: torchvision.models.resnet50(num_classes=7), ResNetCanonizer, "layer2"),
}
RULES = {
    "epsilon": (Epsilon(1e-6), lambda: zrules.Epsilon(epsilon=1e-6)),
    "large epsilon": (Epsilon(1e-2), lambda: zrules.Epsilon(epsilon=1e-2)),
    "gamma": (Gamma(0.25), lambda: zrules.Gamma(gamma=0.25, stabilizer=1e-6)),
    "zplus": (ZPlus(), lambda: zrules.ZPlus(stabilizer=1e-6)),
    "alphabeta": (AlphaBeta(2.0, 1.0), lambda: zrules.AlphaBeta(alpha=2.0, beta=1.0, stabilizer=1e-6)),
}


def network(name: str) -> nn.Module:
    model = randomized(NETWORKS[name][0]())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    return model


def by_zennit(
    model: nn.Module, name: str, rule: object, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Relevance of the image and at the network's middle layer."""
    _, canonizer, middle = NETWORKS[name]
    norm = zrules.Norm(stabilizer=torch.finfo(images.dtype).tiny)
    layers = [(Activation, zrules.Pass()), (AvgPool, norm), (zennit.layer.Sum, norm)]
    composite = LayerMapComposite([*layers, (Convolution, rule), (Linear, rule)], canonizers=[canonizer()])
    kept = []

    def keep(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    with Gradient(model, composite) as attributor:
        handle = model.get_submodule(middle).register_forward_hook(keep)
        onehot = F.one_hot(labels, 7).to(images.dtype)
        _, relevance = attributor(images, lambda logits: logits.detach() * onehot)
        handle.remove()
    return relevance.detach(), kept[0].grad


def ours(model: nn.Module, name: str, rule: Rule, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    middle = NETWORKS[name][2]
    initial = F.one_hot(labels, 7).to(images.dtype)
    found = relevance_at(model, images, initial, Composite(rule), ["input", middle])
    return found["input"], found[middle]


def distances(name: str, rule: str, dtype: torch.dtype) -> list[float]:
    """Between ours and zennit's, relative, at the image and in the middle."""
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images, labels = images.to(dtype), torch.tensor([4])
    model = network(name).to(dtype)
    mine, theirs = RULES[rule]
    pairs = zip(
        ours(model, name, mine, images, labels), by_zennit(model, name, theirs(), images, labels), strict=True
    )
    return [float((actual - expected).norm() / expected.norm()) for actual, expected in pairs]


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "large epsilon"])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_zennit_gives_the_same(name: str, rule: str) -> None:
    assert max(distances(name, rule, torch.float64)) <= 1e-9


# With epsilon 1e-6 both divide by sums that float32 does not know to that accuracy.
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "epsilon"])
@pytest.mark.parametrize("name", ["vgg16_bn", "resnet18"])
def test_zennit_gives_the_same_in_float32(name: str, rule: str) -> None:
    assert max(distances(name, rule, torch.float32)) <= 1e-4


MIXED = Composite(
    Gamma(0.05),
    (
        (Match(groups=("low",)), AlphaBeta(2.0, 1.0)),
        (Match(names=("*.conv2",), groups=("mid",)), Gamma(0.25)),
        (Match(groups=("mid",)), ZPlus(bias="exclude")),
        (Match(groups=("high",)), Epsilon(1e-3)),
    ),
    name='best of """mine"""',
)


def test_the_written_code_gives_the_same() -> None:
    model = network("resnet18").double()
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    onehot = F.one_hot(torch.tensor([4]), 7).double()
    ours = relevance_at(model, images, onehot, MIXED, ["input"])["input"]
    code = zennit_code(MIXED, model, {"study": "one", "value": 0.5})
    assert "study: one\nvalue: 0.5\n" in code
    assert "\nimport xaiprune" not in code
    assert "\nfrom xaiprune" not in code
    scope: dict[str, object] = {}
    exec(compile(code, "best_zennit.py", "exec"), scope)
    for theirs in (
        scope["composite"]([ResNetCanonizer()]),  # type: ignore[operator]
        to_zennit(MIXED, model, [ResNetCanonizer()]),
    ):
        with Gradient(model, theirs) as attributor:
            _, relevance = attributor(images, lambda logits: logits.detach() * onehot)
        assert float((relevance - ours).norm() / ours.norm()) <= 1e-9


def test_what_zennit_has_no_rule_for_is_refused(small_vit: nn.Module) -> None:
    with pytest.raises(XaipruneError, match="zennit has no rule for LayerNorm"):
        zennit_code(MIXED, small_vit)
    with pytest.raises(XaipruneError, match="no counterpart"):
        zennit_code(Composite(Gamma(0.25, bias="exclude")), network("vgg11"))
