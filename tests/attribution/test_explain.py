"""Composites for people and for zennit."""

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import nn

from xaiprune.attribution import explain
from xaiprune.attribution.lrp import (
    Composite,
    Epsilon,
    Gamma,
    Match,
    ZPlus,
    relevance_at,
    to_zennit,
    trace_layers,
)
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS

from .architectures import randomized, small_vgg

GROUPS = Composite(
    Epsilon(1e-3),
    ((Match(groups=("low",)), Gamma(0.25)), (Match(names=("features.1?",)), ZPlus())),
    name="test",
)


def test_explain_names_every_layer_its_rule_and_what_nothing_matched() -> None:
    text = explain(GROUPS, small_vgg("vgg11").eval(), torch.zeros(1, 3, 32, 32))
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert "gamma(gamma=0.25)" in lines["features.0"]
    assert "low" in lines["features.0"]
    assert "zplus" in lines["features.13"]
    assert "default" in lines["classifier.3"]
    assert text.splitlines()[-1].startswith("matched by no entry (default rule): features.6")


@pytest.mark.parametrize(
    "build",
    [
        lambda: timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2),
        lambda: torchvision.models.VisionTransformer(64, 16, 2, 4, 64, 128),
    ],
    ids=["timm", "torchvision"],
)
def test_a_vit_built_at_another_size_needs_no_example(build: Callable[[], nn.Module]) -> None:
    model = build().eval()
    assert len(trace_layers(model)) == len(explain(Composite(), model).splitlines()) - 3


@pytest.mark.parametrize("composite", [GROUPS, PRESETS["alpha2beta1_first"].composite], ids=lambda c: c.name)
def test_zennit_gets_the_same_relevance_from_the_converted_composite(composite: Composite) -> None:
    pytest.importorskip("zennit", reason="zennit is not installed (pip install zennit)")
    from zennit.attribution import Gradient

    model = randomized(small_vgg("vgg11"))
    images = torch.randn(2, 3, 32, 32, dtype=next(model.parameters()).dtype)
    with torch.no_grad():
        classes = model(images).shape[1]
    initial = torch.zeros(2, classes, dtype=images.dtype)
    initial[:, 1] = 1
    mine = relevance_at(model, images, initial, composite, ["input"])["input"]
    model.pretrained_cfg = {"input_size": (3, 32, 32)}
    with Gradient(model, to_zennit(composite, model)) as attributor:
        _, theirs = attributor(images, lambda logits: logits.detach() * initial)
    # zennit stabilizes average pooling with 1e-6
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=float(theirs.abs().max()) * 1e-4)


def test_zennit_refuses_what_it_has_no_rule_for() -> None:
    pytest.importorskip("zennit", reason="zennit is not installed (pip install zennit)")
    with pytest.raises(XaipruneError, match=r"encoder.*no rule"):
        to_zennit(Composite(), torchvision.models.vit_b_16())
