"""What every criterion owes: adding one to CRITERIA puts it through all of this."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria import CRITERIA, criterion
from xaiprune.errors import XaipruneError
from xaiprune.units.layer import UnitLayer

from ..networks import NETWORKS, images_and_labels, small_resnet

every_criterion = pytest.mark.parametrize("name", list(CRITERIA))
WITHOUT_IMAGES = ("random", "magnitude_l1", "magnitude_l2")
looks_at_images = pytest.mark.parametrize("name", [n for n in CRITERIA if n not in WITHOUT_IMAGES])
every_network = pytest.mark.parametrize("network", list(NETWORKS))


class FirstThree:
    """A task that knows three of the network's outputs, in another order."""

    def select(self, logits: Tensor) -> Tensor:
        return logits[:, [2, 0, 1]]


@every_criterion
@every_network
def test_scores_are_float64_finite_nonnegative_and_complete(name: str, network: str) -> None:
    build, units = NETWORKS[network]
    scores = criterion(name)(build(), *images_and_labels(), units)
    assert list(scores) == [unit.name for unit in units]
    for unit in units:
        assert scores[unit.name].shape == (unit.units,)
        assert scores[unit.name].dtype == torch.float64
        assert scores[unit.name].device.type == "cpu"
        assert scores[unit.name].isfinite().all()
        assert (scores[unit.name] >= 0).all()
        assert scores[unit.name].unique().numel() == unit.units  # it tells units apart


@every_criterion
@every_network
def test_the_same_twice(name: str, network: str) -> None:
    build, units = NETWORKS[network]
    first = criterion(name)(build(), *images_and_labels(), units, seed=3)
    second = criterion(name)(build(), *images_and_labels(), units, seed=3)
    assert all(torch.equal(first[key], second[key]) for key in first)


@every_criterion
@every_network
@pytest.mark.parametrize("batch_size", [1, 4])
def test_batch_size_does_not_matter(name: str, network: str, batch_size: int) -> None:
    build, units = NETWORKS[network]
    model = build().double()
    images, labels = images_and_labels()
    whole = criterion(name)(model, images, labels, units, batch_size=100)
    parts = criterion(name)(model, images, labels, units, batch_size=batch_size)
    for key in whole:
        torch.testing.assert_close(parts[key], whole[key], rtol=1e-9, atol=1e-12)


@every_criterion
@every_network
def test_the_model_is_left_alone(name: str, network: str) -> None:
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


class Interrupting(nn.Module):
    """A classifier that is interrupted in the middle of a forward."""

    def forward(self, x: Tensor) -> Tensor:
        raise KeyboardInterrupt


@looks_at_images
def test_an_interrupt_leaves_nothing_behind(name: str) -> None:
    build, units = NETWORKS["resnet"]
    model = build()
    model.train()
    head, model.head = model.head, Interrupting()
    with pytest.raises(KeyboardInterrupt):
        criterion(name)(model, *images_and_labels(), units)
    model.head = head
    assert no_hooks(model)
    assert all(module.training for module in model.modules())


@every_criterion
def test_gradients_do_not_need_to_be_enabled(name: str) -> None:
    build, units = NETWORKS["resnet"]
    model = build().requires_grad_(False)
    expected = criterion(name)(model, *images_and_labels(), units)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            scores = criterion(name)(model, *images_and_labels(), units)
        assert all(torch.equal(scores[key], expected[key]) for key in expected)


@every_criterion
def test_labels_count_the_tasks_classes(name: str) -> None:
    build, units = NETWORKS["resnet"]
    model = build().double()
    images, _ = images_and_labels()
    labels, outputs = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([2, 0, 1, 2, 0, 1])
    by_task = criterion(name)(model, images, labels, units, FirstThree())
    by_output = criterion(name)(model, images, outputs, units)
    for key in by_task:
        torch.testing.assert_close(by_task[key], by_output[key], rtol=1e-9, atol=1e-12)


def refusal(name: str, images: Tensor, labels: Tensor, units: tuple[UnitLayer, ...], **options: int) -> str:
    with pytest.raises(XaipruneError) as caught:
        criterion(name)(small_resnet(), images, labels, units, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@looks_at_images
def test_unusable_images_and_labels_are_refused_in_one_line(name: str) -> None:
    _, units = NETWORKS["resnet"]
    images, labels = images_and_labels()
    broken = images.clone()
    broken[2, 0, 0, 0] = float("nan")
    assert "1 of 6 reference images hold NaN" in refusal(name, broken, labels, units)
    assert "empty" in refusal(name, images[:0], labels[:0], units)
    assert "[0, 4]" in refusal(name, images, labels + 1, units)
    assert "[0, 4]" in refusal(name, images, labels - 1, units)
    assert "int64" in refusal(name, images, labels.float(), units)
    assert "(6,)" in refusal(name, images, labels[:4], units)
    assert "float tensor" in refusal(name, images[0], labels[:3], units)
    assert "batch_size" in refusal(name, images, labels, units, batch_size=0)


@looks_at_images
def test_unit_layers_of_another_network_are_refused(name: str) -> None:
    images, labels = images_and_labels()
    assert "no module 'bn7'" in refusal(name, images, labels, (UnitLayer("stem", "filters", 6, "bn7"),))
    assert "5 x 1 channels" in refusal(name, images, labels, (UnitLayer("stem", "filters", 5, "bn"),))


@looks_at_images
def test_a_tap_that_the_forward_passes_by_is_refused(name: str) -> None:
    class Bypassing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.conv2d(x, self.conv.weight).mean((2, 3))

    with pytest.raises(XaipruneError, match="without calling it"):
        criterion(name)(Bypassing(), *images_and_labels(classes=4), [UnitLayer("conv", "filters", 4, "conv")])


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(XaipruneError, match=r"'tailor' is unknown.*did you mean 'taylor'"):
        criterion("tailor")


def no_hooks(model: nn.Module) -> bool:
    return not any(
        hooks
        for module in model.modules()
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    )
