"""What every criterion should fulfil.

class TestMyCriterion(ImageCriterionSuite):
    criteria = ("mine",)
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria import criterion
from xaiprune.errors import XaipruneError
from xaiprune.testing.small_networks import NETWORKS, FirstThree, images_and_labels, no_hooks, small_resnet
from xaiprune.units.layer import UnitLayer


class CriterionSuite:
    """Derive a class called ``Test...`` from this and name your criteria, as they are registered.

    Attributes:
        criteria: Names of the criteria to test.
        nonnegative: Whether no score is below zero.
    """

    criteria: ClassVar[Sequence[str]] = ()
    nonnegative: ClassVar[bool] = True

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        for argument, values in (("name", self.criteria), ("network", list(NETWORKS))):
            if argument in metafunc.fixturenames:
                metafunc.parametrize(argument, values)

    def test_scores_are_float64_finite_and_complete(self, name: str, network: str) -> None:
        build, units = NETWORKS[network]
        scores = criterion(name)(build(), *images_and_labels(), units)
        assert list(scores) == [unit.name for unit in units]
        for unit in units:
            assert scores[unit.name].shape == (unit.units,)
            assert scores[unit.name].dtype == torch.float64
            assert scores[unit.name].device.type == "cpu"
            assert scores[unit.name].isfinite().all()
            assert not self.nonnegative or (scores[unit.name] >= 0).all()
            assert scores[unit.name].unique().numel() == unit.units  # it tells units apart

    def test_the_same_twice(self, name: str, network: str) -> None:
        build, units = NETWORKS[network]
        first, second = (criterion(name)(build(), *images_and_labels(), units, seed=3) for _ in range(2))
        assert all(torch.equal(first[key], second[key]) for key in first)

    @pytest.mark.parametrize("batch_size", [1, 4])
    def test_batch_size_does_not_matter(self, name: str, network: str, batch_size: int) -> None:
        build, units = NETWORKS[network]
        model = build().double()
        images, labels = images_and_labels()
        whole = criterion(name)(model, images, labels, units, batch_size=100)
        parts = criterion(name)(model, images, labels, units, batch_size=batch_size)
        for key in whole:
            torch.testing.assert_close(parts[key], whole[key], rtol=1e-9, atol=1e-12)

    def test_the_model_is_left_alone(self, name: str, network: str) -> None:
        build, units = NETWORKS[network]
        model = build()
        model.train()
        for module in list(model.modules())[::2]:
            module.training = False
        next(model.parameters()).requires_grad_(False)
        state = copy.deepcopy(model.state_dict())
        modes = [module.training for module in model.modules()]
        flags = [p.requires_grad for p in model.parameters()]
        images, labels = images_and_labels()
        given = images.clone()

        criterion(name)(model, images, labels, units)

        assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
        assert [module.training for module in model.modules()] == modes
        assert [p.requires_grad for p in model.parameters()] == flags
        assert all(p.grad is None for p in model.parameters())
        assert torch.equal(images, given)
        assert not images.requires_grad
        assert no_hooks(model)

    def test_gradients_do_not_need_to_be_enabled(self, name: str) -> None:
        build, units = NETWORKS["resnet"]
        model = build().requires_grad_(False)
        expected = criterion(name)(model, *images_and_labels(), units)
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                scores = criterion(name)(model, *images_and_labels(), units)
            assert all(torch.equal(scores[key], expected[key]) for key in expected)

    def test_labels_count_the_tasks_classes(self, name: str) -> None:
        build, units = NETWORKS["resnet"]
        model = build().double()
        images, _ = images_and_labels()
        labels, outputs = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([2, 0, 1, 2, 0, 1])
        by_task = criterion(name)(model, images, labels, units, FirstThree())
        by_output = criterion(name)(model, images, outputs, units)
        for key in by_task:
            torch.testing.assert_close(by_task[key], by_output[key], rtol=1e-9, atol=1e-12)


class Interrupting(nn.Module):
    """A classifier that is interrupted in the middle of a forward."""

    def forward(self, x: Tensor) -> Tensor:
        raise KeyboardInterrupt


class ImageCriterionSuite(CriterionSuite):
    """The same for criteria that run the network on images, with `criteria.batches` and `criteria.taps`."""

    def test_an_interrupt_leaves_nothing_behind(self, name: str) -> None:
        build, units = NETWORKS["resnet"]
        model = build()
        model.train()
        head, model.head = model.head, Interrupting()
        with pytest.raises(KeyboardInterrupt):
            criterion(name)(model, *images_and_labels(), units)
        model.head = head
        assert no_hooks(model)
        assert all(module.training for module in model.modules())

    def test_unusable_images_and_labels_are_refused_in_one_line(self, name: str) -> None:
        _, units = NETWORKS["resnet"]
        images, labels = images_and_labels()
        broken = images.clone()
        broken[2, 0, 0, 0] = float("nan")
        assert "1 of 6 reference images hold NaN" in _refusal(name, broken, labels, units)
        assert "empty" in _refusal(name, images[:0], labels[:0], units)
        assert "0..4" in _refusal(name, images, labels + 1, units)
        assert "0..4" in _refusal(name, images, labels - 1, units)
        assert "int64" in _refusal(name, images, labels.float(), units)
        assert "(6,)" in _refusal(name, images, labels[:4], units)
        assert "float tensor" in _refusal(name, images[0], labels[:3], units)
        assert "batch_size" in _refusal(name, images, labels, units, batch_size=0)

    def test_unit_layers_of_another_network_are_refused(self, name: str) -> None:
        images, labels = images_and_labels()
        other_tap, other_size = UnitLayer("stem", "filters", 6, "bn7"), UnitLayer("stem", "filters", 5, "bn")
        assert "no module 'bn7'" in _refusal(name, images, labels, (other_tap,))
        assert "5 x 1 channels" in _refusal(name, images, labels, (other_size,))

    def test_a_bypassed_tap_is_refused(self, name: str) -> None:
        class Bypassing(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(3, 4, 3)

            def forward(self, x: Tensor) -> Tensor:
                return nn.functional.conv2d(x, self.conv.weight).mean((2, 3))

        units = [UnitLayer("conv", "filters", 4, "conv")]
        with pytest.raises(XaipruneError, match="without calling it"):
            criterion(name)(Bypassing(), *images_and_labels(classes=4), units)


def _refusal(
    name: str, images: Tensor, labels: Tensor, units: Sequence[UnitLayer], batch_size: int = 32
) -> str:
    with pytest.raises(XaipruneError) as caught:
        criterion(name)(small_resnet(), images, labels, units, batch_size=batch_size)
    message = str(caught.value)
    assert "\n" not in message
    return message
