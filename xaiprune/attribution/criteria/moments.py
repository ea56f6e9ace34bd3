"""Moments of what modules read and make on the reference images, and which modules read each unit layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria.batches import (
    batches,
    check,
    independent_size,
    right_logits,
    untouched,
)
from xaiprune.attribution.criteria.taps import by_unit, captured, require_all, without_padding
from xaiprune.attribution.criteria.types import SelectsLogits
from xaiprune.attribution.targets import Labels, labels_of
from xaiprune.forward import Inputs, count_of, part_of, run
from xaiprune.units import Links, UnitLayer, find_links, is_linear


@dataclass(frozen=True)
class Place:
    """Where channels are read.

    Attributes:
        module: Qualified name.
        where: The module's output or its first input.
        dim: Dimension of that tensor that runs over the channels.
    """

    module: str
    where: Literal["input", "output"]
    dim: int


@dataclass
class Moments:
    """Mean and spread of each channel over all samples (images and positions), updated batch by batch.

    Squares are summed around the mean of their batch and merged (Chan et al. 1979), since E[x^2] - E[x]^2
    loses its digits where the mean is large.

    Attributes:
        images: How many images.
        count: How many samples.
        mean: (channels,) float64 on the CPU.
        spread: Sum over the samples of (x - mean)^2, (channels,) float64 on the CPU.
    """

    images: int = 0
    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    spread: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, samples: Tensor) -> None:
        """Add samples, (n, channels)."""
        new, total = len(samples), self.count + len(samples)
        mean = samples.mean(0, dtype=torch.float64)
        spread = (samples - mean.to(samples.dtype)).square().sum(0, dtype=torch.float64).cpu()
        step = mean.cpu() - self.mean
        self.spread = self.spread + spread + step.square() * (self.count * new / total)
        self.mean = self.mean + step * (new / total)
        self.count = total

    @property
    def squares(self) -> Tensor:
        """Sum of x^2 over all samples, (channels,)."""
        return self.spread + self.count * self.mean.square()


def links_of(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None,
    batch_size: int,
) -> Links:
    """Who reads each unit layer; images, labels and unit layers are checked as by every other criterion.

    Raises:
        XaipruneError: As `batches`, or the unit layers are not of this network.
    """
    check(images, labels, batch_size)
    one = slice(0, 1)
    example, label = next(batches(model, part_of(images, one), labels_of(labels, one), 1))
    with untouched(model), torch.no_grad():
        with captured(model, units, keep=torch.Tensor.detach) as store:
            right_logits(run(model, example), label, task)
        require_all(store, units)
        for unit in units:
            for tensor in store[unit.name]:
                by_unit(tensor, unit, 1)
        return find_links(model, units, example)


def has_consumers(links: Links, unit: UnitLayer) -> bool:
    """Whether all readers of a unit layer are known.

    They are not where its outputs are added to others' (a residual stream) or carried on by a depthwise
    convolution.
    """
    found = links.reaches[unit.name]
    return bool(found.consumers) and not found.blocked and not found.depthwise


def input_of(model: nn.Module, module: str) -> Place:
    """The input of a convolution or linear layer."""
    return Place(module, "input", -1 if is_linear(model.get_submodule(module)) else 1)


def read_at(model: nn.Module, links: Links, unit: UnitLayer) -> list[tuple[Place, Sequence[int]]]:
    """Where a layer's units are read, and the unit of each channel there (-1: of another layer).

    By the consumers, or where not all of them are known, at the units themselves, after their BatchNorm.
    """
    if has_consumers(links, unit):
        return [(input_of(model, each.module), each.unit) for each in links.reaches[unit.name].consumers]
    own = [channel // unit.width for channel in range(unit.units * unit.width)]
    return [(Place(unit.tap, unit.where, unit.dim), own)]


def sum_by_unit(values: Tensor, owners: Sequence[int], units: int) -> Tensor:
    """Sums over the channels of each unit, (channels,) -> (units,); owners are `read_at`'s."""
    unit = torch.tensor(owners)
    return values.new_zeros(units).index_add_(0, unit[unit >= 0], values[unit >= 0])


def moments_at(
    model: nn.Module,
    places: Sequence[Place],
    images: Inputs,
    labels: Labels,
    task: SelectsLogits | None,
    batch_size: int,
) -> dict[Place, Moments]:
    """The moments at each place over the images; every call of a module counts, and no padding.

    Args:
        model: The network.
        places: Where to read; the modules are called by the network.
        images: (N, 3, H, W), or text.
        labels: Checked, not used.
        task: As for criteria.
        batch_size: Images in one forward.
    """
    found = {place: Moments(images=count_of(images)) for place in places}
    with untouched(model), torch.no_grad():
        batch_size = independent_size(model, images, batch_size)
        for part, part_labels in batches(model, images, labels, batch_size):
            with _adding(model, found, part):
                right_logits(run(model, part), part_labels, task)
    return found


@contextmanager
def _adding(model: nn.Module, found: Mapping[Place, Moments], batch: Inputs) -> Iterator[None]:
    """While the network runs on a batch, what it reads and makes is added."""
    handles = []
    try:
        for place, moments in found.items():
            module = model.get_submodule(place.module)
            if place.where == "input":
                hook = partial(_add_input, moments, place.dim, batch)
                handles.append(module.register_forward_pre_hook(hook))
            else:
                hook = partial(_add_output, moments, place.dim, batch)
                handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _add_input(moments: Moments, dim: int, batch: Inputs, _: nn.Module, args: tuple[Any, ...]) -> None:
    _add_output(moments, dim, batch, _, args, args[0])


def _add_output(moments: Moments, dim: int, batch: Inputs, _: nn.Module, __: Any, tensor: Tensor) -> None:
    moments.add(without_padding(tensor.movedim(dim, -1), batch).flatten(0, -2))
