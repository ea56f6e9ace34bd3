"""Attention modules of which heads can be removed wherever their forward takes its sizes from."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch import Tensor, nn

from xaiprune.forward import evaluating
from xaiprune.pruning import masked, remove_with_report
from xaiprune.units import find_units, infer_sizes

HEADS, WIDTH, SIZE = 4, 6, 24


class FromInput(nn.Module):
    """Reshapes by its input's channels, as timm's ViTs once did."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads = HEADS
        self.qkv = nn.Linear(SIZE, 3 * SIZE)
        self.proj = nn.Linear(SIZE, SIZE)

    def prepared(self, x: Tensor) -> Tensor:
        return x

    def merge(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        B, N, C = x.shape
        width = C // self.num_heads
        q, k, v = self.qkv(self.prepared(x)).reshape(B, N, 3, self.num_heads, width).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1)).softmax(-1)
        return self.proj(self.merge(attention @ v).reshape(B, N, C))


class FromAttributes(FromInput):
    """Has the width of all heads, and the shape of its biases, in attributes of any name."""

    def __init__(self) -> None:
        super().__init__()
        self.total = SIZE
        self.shape_of_biases = (9, 9, HEADS)
        self.biases = nn.Parameter(torch.randn(81, HEADS))

    def forward(self, x: Tensor) -> Tensor:
        B, N, _ = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        biases = self.biases.view(self.shape_of_biases).permute(2, 0, 1)
        attention = (q @ k.transpose(-2, -1) + biases).softmax(-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(B, N, self.total))


class Scaled(FromInput):
    """Multiplies its values with the number of its heads, so that it computes something else with fewer."""

    def merge(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2) * self.num_heads


class Indexed(FromInput):
    """Has as many indices of positions as heads."""

    index: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("index", torch.arange(HEADS))
        self.positions = nn.Parameter(torch.randn(9, SIZE))

    def prepared(self, x: Tensor) -> Tensor:
        return x + self.positions[self.index].sum(0)


class Net(nn.Module):
    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, SIZE, 4, 4)
        self.attention = attention
        self.head = nn.Linear(SIZE, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        return self.head((tokens + self.attention(tokens)).mean(1))


def net(kind: type[nn.Module]) -> Net:
    torch.manual_seed(0)
    return Net(kind()).double().eval()


def images() -> Tensor:
    return torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("kind", [FromInput, FromAttributes, Indexed])
@torch.no_grad()
def test_heads_leave_and_the_logits_are_the_masked_ones(kind: type[nn.Module]) -> None:
    model = net(kind)
    before = model(images())
    (layer,) = find_units(model, "heads", example=images()[:1])
    assert layer.removable
    plan = {"attention": (1, 2)}
    with evaluating(model), masked(model, plan, [layer]):
        expected = model(images())
    found = remove_with_report(model, plan, [layer], images()[:1])
    assert found.removed == {"attention": 2}
    assert found.model.get_submodule("attention.proj").weight.shape == (SIZE, 2 * WIDTH)
    torch.testing.assert_close(found.model(images()), expected)
    assert torch.equal(model(images()), before)
    assert type(model.attention) is kind


@torch.no_grad()
def test_what_computes_something_else_with_fewer_heads_is_masked() -> None:
    model = net(Scaled)
    (layer,) = find_units(model, "heads", example=images()[:1])
    assert layer.reason.endswith("computes with its original number of heads; they can only be masked")
    with masked(model, {"attention": (1,)}, [layer]):
        expected = model(images())
    found = remove_with_report(model, {"attention": (1,)}, [layer], images()[:1])
    assert not found.removed
    torch.testing.assert_close(found.model(images()), expected)


@torch.no_grad()
def test_inferred_sizes_are_the_same_in_the_original_module() -> None:
    module = net(FromInput).attention
    tokens = torch.randn(2, 9, SIZE).double()
    expected = module(tokens)
    (kind,) = infer_sizes(FromInput)
    assert infer_sizes(kind) == () == infer_sizes(nn.Linear)
    other = copy.deepcopy(module)
    other.__class__ = kind
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in (other, copy.deepcopy(other), pickle.loads(pickle.dumps(other))):
            assert type(same) is kind
            assert torch.equal(same(tokens), expected)
