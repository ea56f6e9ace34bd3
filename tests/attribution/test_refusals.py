"""What cannot be used is refused in one line that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution import Aggregation, attribute
from xaiprune.attribution.lrp import (
    AlphaBeta,
    Composite,
    Epsilon,
    Flat,
    Gamma,
    Match,
    ZBox,
    make_rule,
    relevance_at,
    trace_layers,
)
from xaiprune.errors import UnsupportedOperation, XaipruneError
from xaiprune.testing.small_networks import RESNET_UNITS, chain, images_and_labels, small_resnet
from xaiprune.units.layer import UnitLayer


def refusal(call: Callable[[], Any], kind: type[XaipruneError] = XaipruneError) -> str:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) > 20
    return message


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_rule("gama"), "did you mean 'gamma'"),
        (lambda: make_rule("gamma", epsilon=1.0), "no parameter 'epsilon'"),
        (lambda: Gamma(-0.1), "gamma must be at least 0"),
        (lambda: Gamma(float("nan")), "gamma must be at least 0"),
        (lambda: Epsilon(-1e-6), "epsilon must be at least 0"),
        (lambda: Epsilon("much"), "epsilon must be at least 0"),
        (lambda: Epsilon(bias="keep"), "bias must be absorb or exclude"),
        (lambda: Gamma(stabilizer=2.0), "stabilizer must be in [0, 1]"),
        (lambda: AlphaBeta(2.0, 0.5), "alpha - beta must be 1"),
        (lambda: ZBox(1.0, -1.0), "low must be below high"),
        (lambda: Composite(softmax="soft"), "softmax 'soft' is unknown"),
        (lambda: Composite(depth=(0.8, 0.2)), "two rising fractions"),
        (lambda: Match(), "matches on nothing"),
        (lambda: Match(groups=("lowest",)), "did you mean 'low'"),
        (lambda: Aggregation("sum"), "mode must be one of"),
    ],
)
def test_rules_composites_and_aggregations(make: Callable[[], Any], says: str) -> None:
    assert says in refusal(make)


def attribution(
    images: Tensor | None = None,
    labels: Tensor | None = None,
    composite: Composite | None = None,
    **options: Any,
) -> Callable[[], Any]:
    default_images, default_labels = images_and_labels()
    return lambda: attribute(
        options.pop("model", small_resnet()),
        default_images if images is None else images,
        default_labels if labels is None else labels,
        options.pop("units", RESNET_UNITS),
        composite or Composite(),
        **options,
    )


def test_a_pattern_that_matches_no_layer() -> None:
    composite = Composite(layers=((Match(names=("layer9.*",)), Gamma()),), name="mine")
    message = refusal(attribution(composite=composite))
    assert "composite mine" in message
    assert "'layer9.*' matches no layer" in message


def test_reference_images_and_labels() -> None:
    images, labels = images_and_labels()
    broken = images.clone()
    broken[3, 1, 0, 0] = float("nan")
    assert "image 3 has NaN" in refusal(attribution(broken))
    assert "none" in refusal(attribution(images[:0], labels[:0]))
    assert "6 images but 4 labels" in refusal(attribution(labels=labels[:4]))
    assert "0..4" in refusal(attribution(labels=labels + 1))
    assert "0..4" in refusal(attribution(labels=labels - 1))
    assert "start must be one of" in refusal(attribution(start="zero"))
    assert "unit layers" in refusal(attribution(units=()))


def test_taps_that_the_network_does_not_have_or_run() -> None:
    assert "'bn9'" in refusal(attribution(units=[UnitLayer("stem", "filters", 6, "bn9")]))


def test_a_network_in_training_mode() -> None:
    assert "eval()" in refusal(attribution(model=small_resnet().train()))


def test_an_image_rule_at_an_inner_layer() -> None:
    composite = Composite(layers=((Match(names=("block.conv2",)), Flat()),))
    assert "layer block.conv2" in refusal(attribution(composite=composite))


class Sorting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sort(dim=1).values


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 5, batch_first=True).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x[:, None])[0][:, 0]


@pytest.mark.parametrize(("odd", "operation"), [(Sorting(), "sort"), (Recurrent(), "lstm")])
def test_operations_without_a_rule_are_named_with_their_module(odd: nn.Module, operation: str) -> None:
    model = chain(nn.Flatten(), nn.Linear(12, 5), odd, nn.Linear(5, 5))
    x = torch.randn(1, 3, 2, 2, dtype=torch.float64)
    message = refusal(lambda: trace_layers(model, x), UnsupportedOperation)
    assert "module '2" in message
    assert f"'{operation}'" in message


def test_an_in_place_change_of_a_view_is_noticed() -> None:
    class ThroughAView(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            first, _ = x.chunk(2, 1)
            first.mul_(2.0)
            return x.mean((2, 3))

    units = [UnitLayer("conv", "filters", 4, "conv")]
    torch.manual_seed(0)
    call = attribution(labels=torch.zeros(6, dtype=torch.int64), model=ThroughAView().eval(), units=units)
    refusal(call, UnsupportedOperation)


def test_outputs_that_are_no_logits() -> None:
    model = chain(nn.Conv2d(3, 4, 3))
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64)
    assert "logits" in refusal(lambda: relevance_at(model, x, x, Composite(), ["input"]))


def test_a_network_without_layers_has_none() -> None:
    assert trace_layers(nn.Flatten().eval(), torch.randn(1, 3, 2, 2)) == []
