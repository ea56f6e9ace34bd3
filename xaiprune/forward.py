"""Running a network that belongs to somebody else: what goes in, what comes out, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from xaiprune.errors import XaipruneError

_OWN = frozenset(vars(nn.Module())) - {"_buffers"}  # what torch keeps in every module; caches may be buffers


def as_input(model: nn.Module, images: Tensor) -> Tensor:
    """Images on the network's device and in its precision."""
    like = next((p for p in model.parameters() if p.is_floating_point()), images)
    return images.to(like.device, like.dtype)


def logits(model: nn.Module, images: Tensor) -> Tensor:
    """What a network says of images, (N, classes), whatever their device and precision.

    Raises:
        XaipruneError: As `logits_of`.
    """
    return logits_of(model(as_input(model, images)))


def logits_of(outputs: Any) -> Tensor:
    """The logits, (N, classes), of what a network returns: a tensor, or an object or mapping with ``logits``.

    Raises:
        XaipruneError: There are none; says what came instead.
    """
    found = outputs.get("logits") if isinstance(outputs, Mapping) else getattr(outputs, "logits", outputs)
    if isinstance(found, Tensor) and found.dim() == 2:
        return found
    got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(outputs).__name__
    raise XaipruneError(
        "the model must return logits of shape (N, classes), or an object that has them as 'logits', "
        f"got {got}; wrap it in a module that returns them"
    )


def input_channels(model: nn.Module, height: int, width: int) -> int:
    """How many channels the images have that a network reads; 3 where nothing tells another number.

    Its first convolution may read stacked pixels rather than channels, so where that reads other than 3, the
    network is run on a blank image.

    Args:
        model: The network.
        height: Of an image that it takes, in pixels.
        width: Likewise.
    """
    convolution = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    first = 3 if convolution is None else convolution.in_channels
    if first == 3:
        return 3
    with torch.no_grad(), evaluating(model), as_found(model):
        for channels in (3, 1, first, first // 4, first // 16):
            with suppress(Exception):  # whatever a network raises that does not take it
                model(as_input(model, torch.zeros(1, channels, height, width)))
                return channels
    return 3


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The network in eval mode while it lasts; every module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Take away the tensors that a network's modules keep of what runs inside the block.

    Some networks cache tensors in their attributes while they run in eval mode (attention biases). Computed
    with gradients, these hold on to their graph, and the network cannot be copied any more.
    """
    before = [(module, _attributes(module)) for module in model.modules()]
    try:
        yield
    finally:
        for module, attributes in before:
            _restore(module, attributes)


def _attributes(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Every attribute that is not torch's, and a copy of what is in it where it is a dictionary or list."""
    own = {key: value for key, value in vars(module).items() if key not in _OWN}
    return {key: (value, value.copy() if type(value) in (dict, list) else None) for key, value in own.items()}


def _restore(module: nn.Module, attributes: Mapping[str, tuple[Any, Any]]) -> None:
    for key, value in list(vars(module).items()):
        former, content = attributes.get(key, (None, None))
        unchanged = former is value and (content is None or _same(value, content))
        tensors = (isinstance(leaf, Tensor) for leaf in tree_leaves((value, former, content)))
        if key in _OWN or unchanged or not any(tensors):
            continue
        if key not in attributes:
            del vars(module)[key]
        elif former is not value:
            vars(module)[key] = former
        else:
            value.clear()
            value.update(content) if isinstance(value, dict) else value.extend(content)


def _same(value: Any, content: Any) -> bool:
    """Whether a dictionary or list holds the very same objects (tensors are not compared by value)."""
    if isinstance(value, dict):
        return list(value) == list(content) and _same(list(value.values()), list(content.values()))
    return len(value) == len(content) and all(a is b for a, b in zip(value, content, strict=True))
