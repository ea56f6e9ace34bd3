"""What tracing a forward needs: the running modules, and names of functions."""

from __future__ import annotations

import pytest
import torch

from xaiprune.testing.small_networks import images_and_labels, no_hooks, small_resnet
from xaiprune.tracing import is_in_place, plain_name, running_modules, short_name


def test_running_modules_and_what_they_are_given_and_return() -> None:
    model, (images, _) = small_resnet(), images_and_labels(n=1)
    entered, left = [], []
    with running_modules(
        model,
        lambda name, args: entered.append((name, list(running), args[0].shape)),
        lambda name, output: left.append((name, output.shape)),
    ) as running:
        assert running == [""]
        logits = model(images)
        assert running == [""]
    assert entered[0] == ("", ["", ""], images.shape)
    assert left[-1] == ("", logits.shape)
    assert ["", "", "block", "block.conv1"] in [names for _, names, _ in entered]
    assert {name for name, _, _ in entered} == {name for name, _ in left}
    assert no_hooks(model)


def test_what_the_callbacks_return_takes_the_place_of_arguments_and_outputs() -> None:
    model, (images, _) = small_resnet(), images_and_labels(n=1)
    expected = model.head(torch.ones(1, 6)) * 2
    with running_modules(
        model,
        lambda name, args: (torch.ones(1, 6),) if name == "head" else None,
        lambda name, output: output * 2 if name == "head" else None,
    ):
        assert torch.equal(model(images), expected)


def test_hooks_are_removed_after_an_exception() -> None:
    model = small_resnet()
    with pytest.raises(RuntimeError), running_modules(model):
        model(torch.zeros(1, 1))
    assert no_hooks(model)


def test_names_of_functions() -> None:
    functions = (torch.add, torch.Tensor.add_, torch.Tensor.__iadd__, torch.ops.aten.add.Tensor)
    assert [short_name(function) for function in functions] == ["add", "add_", "__iadd__", "add"]
    assert {plain_name(name) for name in ("add", "add_", "__add__", "__radd__", "__iadd__")} == {"add"}
    assert (plain_name("__getitem__"), plain_name("__len__")) == ("getitem", "__len__")
    assert [name for name in ("add", "add_", "__add__", "__iadd__", "__init__") if is_in_place(name)] == [
        "add_",
        "__iadd__",
    ]
