"""After attribution, however it ends, a network is what it was."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from xaiprune.attribution import CRITERIA, attribute, criterion
from xaiprune.attribution.lrp import Composite, Epsilon, Gamma, ZPlus
from xaiprune.attribution.lrp.engine.linear_call import LinearCall
from xaiprune.testing.small_networks import NETWORKS, RESNET_UNITS, images_and_labels, small_resnet
from xaiprune.units import UnitLayer, find_units


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Check that the block leaves outputs, weights, flags, gradients, hooks and attributes as they were."""
    images, _ = images_and_labels()
    flag = next(model.parameters())
    flag.requires_grad_(False)
    with torch.no_grad():
        logits = model(images)
    state = copy.deepcopy(model.state_dict())
    flags = [p.requires_grad for p in model.parameters()]
    attributes = [sorted(module.__dict__) for module in model.modules()]
    on_tensors = [sorted(p.__dict__) for p in (*model.parameters(), *model.buffers())]
    yield
    with torch.no_grad():
        assert torch.equal(model(images), logits)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(p.grad is None for p in model.parameters())
    assert [sorted(module.__dict__) for module in model.modules()] == attributes
    assert [sorted(p.__dict__) for p in (*model.parameters(), *model.buffers())] == on_tensors
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks


@pytest.mark.parametrize("network", list(NETWORKS))
def test_after_attribution(network: str) -> None:
    build, units = NETWORKS[network]
    model = build()
    images, labels = images_and_labels()
    given = images.clone()
    with unchanged(model):
        attribute(model, images, labels, units, [Composite(Gamma()), Composite(ZPlus(), softmax="zplus")])
    assert torch.equal(images, given)
    assert not images.__dict__


class Interrupting(nn.Module):
    """Stands in for a layer in whose forward somebody presses Ctrl-C, or something breaks."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error("stopped here")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_after_an_exception_in_the_forward(error: type[BaseException]) -> None:
    model = small_resnet()
    with unchanged(model):
        head, model.head = model.head, Interrupting(error)
        with pytest.raises(error, match="stopped here"):
            attribute(model, *images_and_labels(), RESNET_UNITS, Composite())
        model.head = head


@dataclass(frozen=True)
class InterruptingRule(Epsilon):
    """Somebody presses Ctrl-C, or something breaks, in the backward."""

    name: ClassVar[str] = "interrupting"
    error: type[BaseException] = KeyboardInterrupt

    def propagate(self, call: LinearCall, g: Tensor) -> Tensor:
        raise self.error("stopped here")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_after_an_exception_in_the_backward(error: type[BaseException]) -> None:
    model = small_resnet()
    with unchanged(model), pytest.raises(error):
        attribute(model, *images_and_labels(), RESNET_UNITS, Composite(InterruptingRule(error=error)))


def test_hooks_of_others_stay() -> None:
    model = small_resnet()
    seen = []
    handle = model.stem.register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)))
    attribute(model, *images_and_labels(), RESNET_UNITS, Composite())
    assert seen
    assert list(model.stem._forward_hooks) == [handle.id]


def test_works_inside_no_grad_and_inference_mode() -> None:
    model = small_resnet()
    expected = attribute(model, *images_and_labels(), RESNET_UNITS, Composite(Gamma())).sums
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = attribute(model, *images_and_labels(), RESNET_UNITS, Composite(Gamma())).sums
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_in_place_operations_keep_nothing_in_memory():
    """Without the garbage collector: it comes too seldom for activations of many megabytes."""
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(inplace=True)),
        *(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(inplace=True)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)),
    ).eval()
    images = torch.randn(2, 3, 12, 12)
    units = find_units(model, "filters", example=images[:1])

    def alive() -> int:
        return sum(1 for item in gc.get_objects() if type(item) is torch.Tensor and item.dim() == 4)

    gc.collect()
    gc.disable()
    try:
        before = alive()
        attribute(model, images, torch.tensor([0, 1]), units, [Composite()])
        assert alive() == before
    finally:
        gc.enable()


class Caching(nn.Module):
    """Keeps tensors in eval mode, as LeViT, TinyViT and EfficientFormer keep their attention biases."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bias = nn.Parameter(torch.randn(4, 5))
        self.head = nn.Linear(4, 5)
        self.biases: dict[str, Tensor] = {}
        self.seen: list[Tensor] = []
        self.last: Tensor | None = None
        self.calls = 0
        self.taken: Tensor | None = torch.zeros(1)
        self.register_buffer("index", None)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and "cpu" not in self.biases:
            self.biases["cpu"] = self.bias[:, [4, 3, 2, 1, 0]]
        x = self.conv(x).relu().mean((2, 3))
        self.last, self.index, self.first = x, self.bias * 2, self.bias[0] + 1
        self.seen.append(x)
        self.taken = None  # was a tensor
        self.calls += 1
        return self.head(x) + x @ self.biases["cpu"]


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("name", ["lrp", *CRITERIA])
def test_what_a_network_caches_is_as_it_was(name: str, filled: bool) -> None:
    torch.manual_seed(0)
    model = Caching().eval()
    images, labels = images_and_labels()
    if filled:
        with torch.no_grad():
            model(images[:1])
        model.taken = torch.zeros(1)
    cached = {key: dict(vars(module)) for key, module in model.named_modules()}
    biases, seen = dict(model.biases), list(model.seen)
    units = [UnitLayer("conv", "filters", 4, "conv")]
    if name == "lrp":
        attribute(model, images, labels, units, Composite())
    else:
        criterion(name)(model, images, labels, units)
    copy.deepcopy(model)
    for key, module in model.named_modules():
        now = {k: v for k, v in vars(module).items() if k != "calls"}
        assert now.keys() == cached[key].keys() - {"calls"}
        assert all(now[k] is cached[key][k] for k in now)
    assert model.biases.keys() == biases.keys()
    assert all(model.biases[k] is biases[k] for k in biases)
    assert len(model.seen) == len(seen)
    assert filled is (model.index is not None)


@pytest.mark.parametrize("name", ["lrp", *CRITERIA])
def test_caching_networks_inside_inference_mode(name: str) -> None:
    torch.manual_seed(0)
    model, (images, labels) = Caching().eval(), images_and_labels()
    units = [UnitLayer("conv", "filters", 4, "conv")]

    def scores() -> Tensor:
        if name == "lrp":
            return attribute(model, images, labels, units, Composite()).sums["conv"]
        return criterion(name)(model, images, labels, units)["conv"]

    expected = scores()
    with torch.inference_mode():
        assert torch.equal(scores(), expected)


def test_gradients_are_usable_afterwards() -> None:
    model = small_resnet()
    images, labels = images_and_labels()
    attribute(model, images, labels, RESNET_UNITS, Composite())
    criterion("taylor")(model, images, labels, RESNET_UNITS)
    nn.functional.cross_entropy(model(images), labels).backward()
    assert all(p.grad is not None for p in model.parameters())
