"""What the recorder knows about a tensor that depends on the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from xaiprune.attribution.lrp.engine.linear_call import LinearCall

_ATTRIBUTE = "_xaiprune_tag"
_PLAINLY = "_xaiprune_plainly"

Gate = Literal["softmax", "sigmoid", "norm"]


@dataclass
class Tag:
    """Facts that travel with a tensor from operation to operation.

    Attributes:
        nonnegative: No entry is below zero, for certain.
        gate: What the tensor is to what it is multiplied with: a softmax's or a sigmoid's output (or a
            rearrangement of it), or a norm: a length, a deviation, or the reciprocal of an activation.
        raw_input: The tensor is the image.
        call: The linear call whose output this is, so that a BatchNorm right behind can be folded in.
        tapped: Relevance is read right here.
        replaced_by: What an in-place operation made of the tensor; later readers get that.
    """

    nonnegative: bool = False
    gate: Gate | None = None
    raw_input: bool = False
    call: LinearCall | None = None
    tapped: bool = False
    replaced_by: Tensor | None = None


def tag_of(value: Any) -> Tag | None:
    """The tag of a tensor that depends on the image; None for everything else."""
    return getattr(value, _ATTRIBUTE, None)


def set_tag(tensor: Tensor, tag: Tag) -> Tensor:
    """Tag a tensor (in place) and return it."""
    setattr(tensor, _ATTRIBUTE, tag)
    return tensor


def current(tensor: Tensor) -> Tensor:
    """The tensor, or what in-place operations have made of it since."""
    tag = tag_of(tensor)
    while tag is not None and tag.replaced_by is not None:
        tensor = tag.replaced_by
        tag = tag_of(tensor)
    return tensor


def plainly(tensor: Tensor) -> Tensor:
    """The same tensor in a graph where powers have their plain gradient, if there are powers above it.

    A power passes relevance on like an activation, unless it turns out to be a step of a norm.
    """
    make = getattr(tensor, _PLAINLY, None)
    return tensor if make is None else make()


def has_powers(value: Any) -> bool:
    """Whether a tensor is made of powers by nothing but plain operations."""
    return hasattr(value, _PLAINLY)


def set_plainly(tensor: Tensor, make: Callable[[], Tensor]) -> Tensor:
    """Say how a tensor is made with plain gradients (see `plainly`), and return it."""
    setattr(tensor, _PLAINLY, make)
    return tensor


def constants(*values: Tensor | None) -> tuple[Tensor | None, ...]:
    """Parameters as constants: detached, so that no graph grows towards them."""
    return tuple(None if value is None else value.detach() for value in values)
