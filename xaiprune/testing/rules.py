"""What every LRP rule should fulfil.

class TestMyRule(RuleSuite):
    rules = (MyRule(), MyRule(strength=2.0))
    conserving = (MyRule(stabilizer=0.0),)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution.lrp import (
    Composite,
    Epsilon,
    Match,
    Rule,
    load_composite,
    relevance_at,
    save_composite,
)
from xaiprune.attribution.lrp.engine.linear_call import ConvGeometry, LinearCall, WeightCache
from xaiprune.errors import XaipruneError
from xaiprune.registry import RULES
from xaiprune.testing.small_networks import CLASSES, NETWORKS, bias_free_resnet, images_and_labels

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    # name: (constructor, shape of one input)
    "linear": (lambda: nn.Linear(7, 5), (7,)),
    "linear on tokens": (lambda: nn.Linear(4, 5, bias=False), (3, 4)),
    "convolution": (lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1), (2, 6, 5)),
    "grouped convolution": (lambda: nn.Conv2d(4, 6, 3, groups=2, dilation=2, padding=2), (4, 5, 5)),
    "one-dimensional convolution": (lambda: nn.Conv1d(3, 4, 3), (3, 6)),
}
_READ = {
    "resnet": ["stem", "bn", "block.bn1", "block", "input"],
    "transformer": ["embed", "attn", "fc1", "norm1", "input"],
}


def layer_and_inputs(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor]:
    """One of `LAYERS` with seeded weights, and three signed inputs with some zeros."""
    build, shape = LAYERS[name]
    generator = torch.Generator().manual_seed(0)
    layer = build().to(dtype)
    for parameter in layer.parameters():
        parameter.data.normal_(generator=generator)
    x = torch.randn(3, *shape, dtype=dtype, generator=generator)
    return layer, torch.where(torch.rand(x.shape, generator=generator) < 0.2, 0, x)


def linear_call(layer: nn.Module, x: Tensor, **options: Any) -> LinearCall:
    """A layer as the engine records it: what `Rule.propagate` reads.

    Args:
        layer: Linear layer or convolution.
        x: (N, ...) inputs.
        options: Attributes of `LinearCall`, such as ``nonnegative``.
    """
    geometry = None
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        geometry = ConvGeometry(layer.stride, layer.padding, layer.dilation, layer.groups)  # type: ignore[arg-type]
    facts: dict[str, Any] = {"nonnegative": False, "raw_input": True, "weights": WeightCache(), **options}
    own = {name: parameter.detach() for name, parameter in layer.named_parameters()}
    return LinearCall("layer", x, layer(x).detach(), own["weight"], own.get("bias"), geometry, **facts)


def _close(actual: Tensor, expected: Tensor, rtol: float = 1e-9) -> None:
    scale = max(1e-12, float(expected.abs().max()))
    torch.testing.assert_close(actual / scale, expected / scale, rtol=rtol, atol=rtol)


def _noise(like: Tensor, seed: int = 1) -> Tensor:
    return torch.randn(like.shape, dtype=like.dtype, generator=torch.Generator().manual_seed(seed))


def _at_first_layer(rule: Rule, first: str) -> Composite:
    """The rule everywhere; where it is for images only, at the first layer, with epsilon above."""
    return Composite(Epsilon(0.0), ((Match(names=(first,)), rule),)) if rule.input_only else Composite(rule)


class RuleSuite:
    """Derive a class called ``Test...`` from this and name your rules.

    Attributes:
        rules: Rules to test, with various parameters.
        conserving: Those that pass all relevance on where nothing has a bias (without stabilizer, that is).
    """

    rules: ClassVar[Sequence[Rule]] = ()
    conserving: ClassVar[Sequence[Rule]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        for argument, values in (
            ("rule", self.rules),
            ("conserving_rule", self.conserving),
            ("layer_name", list(LAYERS)),
            ("network", list(NETWORKS)),
        ):
            if argument in metafunc.fixturenames:
                metafunc.parametrize(argument, values, ids=str)

    # -- what the rest of the program asks for -----------------------------------------------------

    def test_it_is_registered_under_its_name(self, rule: Rule) -> None:
        assert RULES[rule.name] is type(rule)

    def test_its_texts_are_single_lines(self, rule: Rule) -> None:
        for text in (rule.name, rule.title, rule.short, str(rule)):
            assert text
            assert "\n" not in text

    def test_what_it_says_of_its_parameters_is_true(self, rule: Rule) -> None:
        assert set(rule.ranges) <= set(rule.parameters())
        assert set(rule.searchable) <= set(rule.ranges)
        assert rule.main is None or isinstance(getattr(rule, rule.main), int | float)
        numbers = {key: getattr(rule, key) for key in rule.searchable}
        made = type(rule).from_numbers(**numbers)
        assert type(made) is type(rule)
        assert {key: getattr(made, key) for key in rule.searchable} == numbers

    def test_parameters_out_of_range_are_refused(self, rule: Rule) -> None:
        for key, (low, high) in rule.ranges.items():
            beyond = [value for value in (low - 1, high + 1) if math.isfinite(value)]
            for wrong in (*beyond, math.nan, "much", True):
                with pytest.raises(XaipruneError) as caught:
                    replace(rule, **{key: wrong})
                assert "\n" not in str(caught.value)

    def test_yaml_keeps_it(self, rule: Rule, tmp_path: Path) -> None:
        composite = Composite(rule, ((Match(types=("conv",)), rule),))
        assert load_composite(save_composite(tmp_path / "composite.yaml", composite)) == composite

    def test_zennit_has_it_or_it_is_refused(self, rule: Rule) -> None:
        theirs = pytest.importorskip("zennit.rules", reason="zennit is not installed (pip install zennit)")
        try:
            name, arguments = rule.zennit()
        except XaipruneError:
            return
        getattr(theirs, name)(**arguments)

    # -- one layer ---------------------------------------------------------------------------------

    def test_relevance_is_shaped_like_the_inputs(self, rule: Rule, layer_name: str) -> None:
        for dtype in (torch.float32, torch.float64):
            call = linear_call(*layer_and_inputs(layer_name, dtype))
            relevance = rule.propagate(call, _noise(call.z))
            assert relevance.shape == call.x.shape
            assert relevance.dtype == dtype
            assert relevance.isfinite().all()

    def test_zeros_give_no_nan(self, rule: Rule, layer_name: str) -> None:
        layer, x = layer_and_inputs(layer_name, torch.float32)
        call = linear_call(layer, torch.zeros_like(x))
        assert rule.propagate(call, _noise(call.z)).isfinite().all()
        call = linear_call(layer, x)
        assert not rule.propagate(call, torch.zeros_like(call.z)).any()
        layer.get_parameter("weight").data.zero_()
        call = linear_call(layer, x)
        assert rule.propagate(call, _noise(call.z)).isfinite().all()

    def test_a_sample_does_not_depend_on_its_batch(self, rule: Rule, layer_name: str) -> None:
        layer, x = layer_and_inputs(layer_name)
        call = linear_call(layer, x)
        g = _noise(call.z)
        together = rule.propagate(call, g)
        for i in range(len(x)):
            _close(rule.propagate(linear_call(layer, x[i : i + 1]), g[i : i + 1]), together[i : i + 1])

    def test_nothing_it_is_given_changes(self, rule: Rule, layer_name: str) -> None:
        call = linear_call(*layer_and_inputs(layer_name), keep_sums=True)
        g = _noise(call.z)
        given = [t for t in (call.x, call.z, call.weight, call.bias, g) if t is not None]
        before = [t.clone() for t in given]
        first = rule.propagate(call, g).clone()
        assert all(torch.equal(t, b) for t, b in zip(given, before, strict=True))
        assert torch.equal(rule.propagate(call, g), first)  # sums and weights that are kept, too

    def test_nonnegative_inputs_may_be_known_to_be(self, rule: Rule, layer_name: str) -> None:
        layer, x = layer_and_inputs(layer_name)
        unknown, known = (linear_call(layer, x.relu(), nonnegative=known) for known in (False, True))
        g = _noise(unknown.z)
        for outputs in (g, torch.where(unknown.z > 0, g, 0)):  # the latter as below a ReLU
            _close(rule.propagate(known, outputs), rule.propagate(unknown, outputs))

    # -- networks ----------------------------------------------------------------------------------

    def test_an_image_is_explained_alike_alone_and_in_a_batch(self, rule: Rule, network: str) -> None:
        model, read = NETWORKS[network][0]().double(), _READ[network]
        images, initial = images_and_labels(n=5)[0].double(), torch.eye(CLASSES, dtype=torch.float64)
        composite = _at_first_layer(rule, read[0])
        together = relevance_at(model, images, initial, composite, read[1:])
        for i in range(len(images)):
            part = slice(i, i + 1)
            alone = relevance_at(model, images[part], initial[part], composite, read[1:])
            for name, relevance in alone.items():
                assert relevance.any()
                _close(relevance, together[name][part])

    def test_relevance_is_conserved_without_biases(self, conserving_rule: Rule) -> None:
        model = bias_free_resnet()
        # The image is the only signed input; with this many pixels every output has positive contributions.
        images, labels = images_and_labels(size=24)
        images = images.double()
        initial = torch.eye(CLASSES, dtype=torch.float64)[labels]
        with torch.no_grad():
            logits = (model(images) * initial).sum(1)
        composite = _at_first_layer(conserving_rule, "stem")
        for relevance in relevance_at(model, images, initial, composite, ["block", "relu", "input"]).values():
            torch.testing.assert_close(relevance.flatten(1).sum(1), logits, rtol=1e-8, atol=1e-10)
