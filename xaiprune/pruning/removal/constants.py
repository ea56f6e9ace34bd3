"""Constants that zeroed units become where they are read, because a BatchNorm lies between."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.forward import Inputs, random_inputs, run
from xaiprune.pruning.mask import masked
from xaiprune.pruning.removal.fold import add_to_output_, constant_contribution
from xaiprune.units import Links, UnitLayer, evaluating

_SAME = 1e-5  # relative: constants are computed in float32


class Constants:
    """Finds, on the masked network, what consumers read at input channels whose units are zero.

    Args:
        model: The network; unchanged.
        removed: Unit layer -> units that are masked.
        units: The network's unit layers.
        example: One input, (1, 3, H, W).
    """

    def __init__(
        self,
        model: nn.Module,
        removed: Mapping[str, Sequence[int]],
        units: Sequence[UnitLayer],
        example: Inputs,
    ) -> None:
        self._model, self._removed, self._units = model, removed, units
        self._image = random_inputs(model, example)

    def foldable(self, inputs: Mapping[str, Sequence[int]]) -> bool:
        """Whether every channel is one constant, and zero where its consumer pads with zeros.

        Args:
            inputs: Consumer -> input channels.
        """
        for name, (values, spread) in self._values(inputs).items():
            scale = float(values.abs().max())
            padded = _pads(self._model.get_submodule(name))
            if float(spread.max()) > _SAME * max(1.0, scale) or (padded and scale > 0):
                return False
        return True

    def fold_(self, smaller: nn.Module, inputs: Mapping[str, Sequence[int]], links: Links) -> list[str]:
        """Move the constants into the consumers' biases, in place.

        Args:
            smaller: The copy that will be cut, still of full size.
            inputs: Consumer -> input channels that will be cut.
            links: Of the network.

        Returns:
            The consumers that had no bias before.
        """
        new = []
        for name, (values, _) in self._values(inputs).items():
            if not bool(values.any()):
                continue
            layer = smaller.get_submodule(name)
            shift = constant_contribution(layer, torch.tensor(inputs[name]), values)
            norm = smaller.get_submodule(links.norms[name]) if name in links.norms else None
            had = layer.bias is not None
            add_to_output_(layer, shift, norm)
            new += [] if had or layer.bias is None else [name]
        return new

    def _values(self, inputs: Mapping[str, Sequence[int]]) -> dict[str, tuple[Tensor, Tensor]]:
        """Consumer -> mean and spread of each channel over one random image."""
        found: dict[str, tuple[Tensor, Tensor]] = {}
        model = self._model
        with (
            ExitStack() as hooks,
            torch.no_grad(),
            evaluating(model),
            masked(model, self._removed, self._units),
        ):
            for name, channels in inputs.items():

                def keep(
                    module: nn.Module, args: Any, name: str = name, channels: Sequence[int] = channels
                ) -> None:
                    dim = 1 if isinstance(module, nn.Conv2d) else -1
                    lines = args[0].movedim(dim, 0)[list(channels)].flatten(1).double()
                    found[name] = lines.mean(1), lines.amax(1) - lines.amin(1)

                hooks.enter_context(model.get_submodule(name).register_forward_pre_hook(keep))
            run(model, self._image)
        return found


def _pads(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d):
        return False
    return any(size > 1 for size in module.kernel_size)
