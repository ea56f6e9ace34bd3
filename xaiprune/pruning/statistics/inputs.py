"""Which input channel of a unit layer's consumer belongs to which unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xaiprune.units import Consumer, Links, UnitLayer, is_linear


@dataclass(frozen=True)
class ConsumerInputs:
    """The channels of one consumer's input, and the units they belong to.

    Attributes:
        module: The consumer, a convolution or linear layer.
        channels: How many statistical channels there are (a flattened map counts each channel once).
        repeat: Input positions per channel (above 1 where a linear layer reads a flattened map).
        unit: Per channel (layer name, unit), or None where no unit layer makes it.
        padded: Whether a constant cannot be folded into the bias exactly.
        norm: The BatchNorm that reads what the consumer writes, and nothing else does; None: there is none.
    """

    module: str
    channels: int
    repeat: int
    unit: tuple[tuple[str, int] | None, ...]
    padded: bool
    norm: str | None = None

    def taps(self, weight: Tensor) -> Tensor:
        """The weight as (out, channels, taps) float64: kernel positions, or positions of a flattened map."""
        return weight.detach().double().reshape(weight.shape[0], self.channels, -1).clone()

    def removed(self, units: Mapping[str, Sequence[int]]) -> Tensor:
        """The channels of the units to remove (unit layer -> units), (r,) int64."""
        sets = {name: set(chosen) for name, chosen in units.items()}
        found = [i for i, owner in enumerate(self.unit) if owner and owner[1] in sets.get(owner[0], ())]
        return torch.tensor(found, dtype=torch.long)

    def kept(self, units: Mapping[str, Sequence[int]]) -> Tensor:
        """The other channels, (channels - r,) int64."""
        kept = torch.ones(self.channels, dtype=torch.bool)
        kept[self.removed(units)] = False
        return kept.nonzero()[:, 0]


def consumer_inputs(model: nn.Module, units: Sequence[UnitLayer], links: Links) -> dict[str, ConsumerInputs]:
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
        channels, owned = len(line) // repeat, tuple(line[::repeat])
        norm = links.norms.get(name)
        inputs[name] = ConsumerInputs(name, channels, repeat, owned, first[name].padded, norm)
    return inputs


def _repeat(
    module: nn.Module, line: Sequence[tuple[str, int] | None], layers: Mapping[str, UnitLayer]
) -> int:
    """Consecutive input positions of a linear layer that belong to one channel (a flattened map)."""
    owner = line[0]
    if not is_linear(module) or owner is None or layers[owner[0]].width > 1:
        return 1
    run = next((i for i, other in enumerate(line) if other != owner), len(line))
    regular = len(line) % run == 0 and all(
        len(set(line[start : start + run])) == 1 for start in range(0, len(line), run)
    )
    return run if regular else 1
