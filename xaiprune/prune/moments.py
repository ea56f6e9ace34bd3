"""First and second moments of what consumers read, from the reference images."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.units import Consumer, Links, UnitLayer

HELD_OUT = 5  # every fifth image is held out to choose the ridge strength
_MIN_SAMPLES, _PER_CHANNEL = 8192, 12


@dataclass(frozen=True)
class Inputs:
    """The channels of one consumer's input, and the units they belong to.

    Attributes:
        module: The consumer, a convolution or linear layer.
        channels: How many statistical channels there are (a flattened map counts each channel once).
        repeat: Input positions a channel (above 1 where a linear layer reads a flattened map).
        unit: Per channel (layer name, unit), or None where no unit layer makes it.
        padded: Whether a constant cannot be folded into the bias exactly.
    """

    module: str
    channels: int
    repeat: int
    unit: tuple[tuple[str, int] | None, ...]
    padded: bool

    def removed(self, going: Mapping[str, Sequence[int]]) -> Tensor:
        """The channels whose units go, (r,) int64."""
        sets = {name: set(units) for name, units in going.items()}
        found = [i for i, owner in enumerate(self.unit) if owner and owner[1] in sets.get(owner[0], ())]
        return torch.tensor(found, dtype=torch.long)

    def positions(self, channels: Tensor) -> Tensor:
        """The weight's input positions of the channels, (len(channels), repeat)."""
        return channels[:, None] * self.repeat + torch.arange(self.repeat)


def consumer_inputs(model: nn.Module, units: Sequence[UnitLayer], links: Links) -> dict[str, Inputs]:
    """What each consumer of removable units reads, in execution order."""
    owners: dict[str, list[tuple[str, int] | None]] = {}
    first: dict[str, Consumer] = {}
    for layer in units:
        found = links.reaches[layer.name]
        if not layer.removable or found.blocked or found.mixed:
            continue
        for consumer in found.consumers:
            first.setdefault(consumer.module, consumer)
            line = owners.setdefault(consumer.module, [None] * len(consumer.unit))
            for position, unit in enumerate(consumer.unit):
                if unit >= 0:
                    line[position] = (layer.name, unit)
    rank = {name: position for position, name in enumerate(links.order)}
    inputs = {}
    for name in sorted(owners, key=lambda name: rank.get(name, len(rank))):
        line = owners[name]
        repeat = _repeat(model.get_submodule(name), line, {layer.name: layer for layer in units})
        inputs[name] = Inputs(name, len(line) // repeat, repeat, tuple(line[::repeat]), first[name].padded)
    return inputs


def _repeat(
    module: nn.Module, line: Sequence[tuple[str, int] | None], layers: Mapping[str, UnitLayer]
) -> int:
    """Consecutive input positions of a linear layer that belong to one channel (a flattened map)."""
    owner = line[0]
    if not isinstance(module, nn.Linear) or owner is None or layers[owner[0]].width > 1:
        return 1
    run = next((i for i, other in enumerate(line) if other != owner), len(line))
    regular = len(line) % run == 0 and all(
        len(set(line[start : start + run])) == 1 for start in range(0, len(line), run)
    )
    return run if regular else 1


@dataclass
class Moments:
    """Sums over samples of x, y and their products; for one network, y is x.

    Attributes:
        n: Samples.
        x: Sum of the true inputs, (C,).
        y: Sum of the inputs as the pruned network has them, (C,).
        xy: Sum of x y^T, (C, C).
        yy: Sum of y y^T, (C, C).
    """

    n: int
    x: Tensor
    y: Tensor
    xy: Tensor
    yy: Tensor

    @staticmethod
    def of(x: Tensor, y: Tensor | None = None) -> "Moments":
        """Of samples (n, C), in float64."""
        # Beyond a thousand channels float64 products get slow, and float32's error is far below the ridge.
        wide = x.shape[1] > 1024
        x = x.float() if wide else x.double()
        xx = (x.T @ x).double() if y is None else None
        if y is None:
            assert xx is not None
            total = x.double().sum(0)
            return Moments(len(x), total, total, xx, xx)
        y = y.to(x)
        return Moments(len(x), x.double().sum(0), y.double().sum(0), (x.T @ y).double(), (y.T @ y).double())

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.n + other.n, self.x + other.x, self.y + other.y, self.xy + other.xy, self.yy + other.yy
        )


@dataclass
class Statistics:
    """Moments of every consumer's input in the dense network; serves every plan.

    Attributes:
        inputs: Consumer -> its channels.
        fit: Consumer -> moments over the images that fit the ridge regression.
        held_out: Consumer -> moments over those that choose its strength.
    """

    inputs: dict[str, Inputs]
    fit: dict[str, Moments] = field(default_factory=dict)
    held_out: dict[str, Moments] = field(default_factory=dict)


def collect(model: nn.Module, inputs: dict[str, Inputs], images: Tensor, batch_size: int = 32) -> Statistics:
    """One pass over the reference images, in batches; memory is that of one batch and the moments.

    Args:
        model: The dense network, in eval mode.
        inputs: What to look at.
        images: (N, 3, H, W), normalised, N >= 2.
        batch_size: Images in one forward.
    """
    found = Statistics(inputs)
    with recorded(model, inputs, len(images)) as seen, torch.no_grad():
        for start in range(0, len(images), batch_size):
            model(images[start : start + batch_size])
            numbers = torch.arange(start, min(start + batch_size, len(images)))
            for name, (samples, each) in seen.items():
                held = held_out(numbers).repeat_interleave(each)
                for part, into in ((~held, found.fit), (held, found.held_out)):
                    if bool(part.any()):
                        moments = Moments.of(samples[part])
                        into[name] = into[name] + moments if name in into else moments
            seen.clear()
    return found


def held_out(numbers: Tensor) -> Tensor:
    """Which images (by number) are held out, bool."""
    return numbers % HELD_OUT == HELD_OUT - 1


@contextmanager
def recorded(
    model: nn.Module, inputs: Mapping[str, Inputs], images: int
) -> Iterator[dict[str, tuple[Tensor, int]]]:
    """While it lasts, each forward notes (samples (n, C), samples an image) of every consumer's input."""
    seen: dict[str, tuple[Tensor, int]] = {}
    handles = []
    for name, wanted in inputs.items():

        def keep(module: nn.Module, args: Any, wanted: Inputs = wanted) -> None:
            seen[wanted.module] = samples(module, args[0], wanted, images)

        handles.append(model.get_submodule(name).register_forward_pre_hook(keep))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def samples(module: nn.Module, tensor: Tensor, wanted: Inputs, images: int) -> tuple[Tensor, int]:
    """A consumer's input as (n, C), image after image, at evenly spread positions; and how many an image.

    Neighbouring pixels say nearly the same, so no more positions are used than the moments need. Which
    ones depends on the shape only, so two networks are sampled alike.
    """
    batch = tensor.shape[0]
    if isinstance(module, nn.Conv2d):
        lines = tensor.flatten(2).transpose(1, 2)  # (N, HW, C)
    elif wanted.repeat > 1:
        lines = tensor.reshape(batch, wanted.channels, wanted.repeat).transpose(1, 2)
    else:
        lines = tensor.reshape(batch, -1, tensor.shape[-1])
    positions = lines.shape[1]
    # Windowed attention has several rows of the batch for one image; they stay in order.
    enough = max(_MIN_SAMPLES, _PER_CHANNEL * wanted.channels)
    step = max(1, (positions * images) // enough)
    # An odd stride that shares no factor with the width keeps columns from being picked systematically.
    while step > 1 and math.gcd(step, positions) > 1:
        step += 1
    chosen = lines[:, ::step]
    return chosen.reshape(-1, chosen.shape[-1]).clone(), chosen.shape[1]
