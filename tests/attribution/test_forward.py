"""What networks return and take, beside plain tensors of float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution import CRITERIA, attribute, criterion, heatmaps
from xaiprune.attribution.lrp import Composite, trace_layers
from xaiprune.errors import XaipruneError
from xaiprune.forward import as_input, logits_of
from xaiprune.testing.small_networks import RESNET_UNITS, images_and_labels, small_resnet


@dataclass
class Output:
    """As transformers' image classifiers return."""

    logits: Tensor
    loss: Tensor | None = None


@dataclass
class OtherOutput:
    scores: Tensor


class Returning(nn.Module):
    """A network whose output is wrapped."""

    def __init__(self, wrap: Any) -> None:
        super().__init__()
        inner = small_resnet()
        self.stem, self.bn, self.relu, self.block, self.head = inner.children()
        self.wrap = wrap
        self.eval()

    def forward(self, x: Tensor) -> Any:
        x = self.block(self.relu(self.bn(self.stem(x))))
        return self.wrap(self.head(x.mean((2, 3))))


WITH_LOGITS = {"an object": Output, "a dictionary": lambda logits: {"logits": logits, "loss": None}}
WITHOUT = {
    "a tuple": lambda logits: (logits, logits),
    "a dictionary": lambda logits: {"scores": logits},
    "an object": OtherOutput,
    "None": lambda logits: None,
    "a map": lambda logits: logits[:, :, None],
}
CALLS = ["lrp", "heatmaps", *(name for name in CRITERIA if name != "random" and "magnitude" not in name)]


def called(name: str, model: nn.Module) -> dict[str, Tensor]:
    images, labels = images_and_labels()
    if name == "lrp":
        return dict(attribute(model, images, labels, RESNET_UNITS, Composite()).sums)
    if name == "heatmaps":
        return {"images": heatmaps(model, images, labels, Composite())}
    return criterion(name)(model, images, labels, RESNET_UNITS)


@pytest.mark.parametrize("wrap", list(WITH_LOGITS))
@pytest.mark.parametrize("call", CALLS)
def test_logits_are_taken_from_what_has_them(call: str, wrap: str) -> None:
    found, expected = called(call, Returning(WITH_LOGITS[wrap])), called(call, small_resnet())
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert len(trace_layers(Returning(WITH_LOGITS[wrap]), images_and_labels()[0])) == 4


@pytest.mark.parametrize("wrap", list(WITHOUT))
@pytest.mark.parametrize("call", CALLS)
def test_everything_else_is_refused_alike(call: str, wrap: str) -> None:
    with pytest.raises(XaipruneError) as caught:
        called(call, Returning(WITHOUT[wrap]))
    assert str(caught.value).startswith("the model must return logits of shape (N, classes), or an object")
    assert "\n" not in str(caught.value)


def test_logits_of() -> None:
    logits = torch.zeros(2, 3)
    assert logits_of(logits) is logits_of(Output(logits)) is logits_of({"logits": logits}) is logits
    with pytest.raises(XaipruneError, match=r"got shape \(2,\)"):
        logits_of(logits[:, 0])
    with pytest.raises(XaipruneError, match="got OtherOutput"):
        logits_of(OtherOutput(logits))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("call", CALLS)
def test_images_are_taken_in_the_networks_precision(call: str, dtype: torch.dtype) -> None:
    found, expected = called(call, small_resnet().to(dtype)), called(call, small_resnet())
    for key in expected:
        difference = (found[key].double() - expected[key].double()).norm() / expected[key].double().norm()
        assert difference < (1e-4 if dtype == torch.float64 else 0.3)


def test_networks_without_parameters_take_images_as_they_are() -> None:
    images = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    assert as_input(nn.Flatten(), images) is images
