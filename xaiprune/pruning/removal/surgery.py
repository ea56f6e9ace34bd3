"""torch-pruning's dependency graph, behind this one file: which slices of tensors depend on a channel."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from xaiprune.errors import XaipruneError

log = logging.getLogger(__name__)


@dataclass
class Cuts:
    """Slices to remove from a network, all in the numbering of the uncut network.

    Attributes:
        channels: Module and torch-pruning's function that slices it -> the channels to remove.
    """

    channels: dict[tuple[str, Callable[..., Any]], set[int]] = field(default_factory=dict)

    def add(self, other: "Cuts") -> None:
        """Add these slices."""
        for key, channels in other.channels.items():
            self.channels.setdefault(key, set()).update(channels)


class Surgery:
    """Finds and makes the cuts of one network, in place; usable only inside its ``with`` block.

    Args:
        model: The network that will be cut.
        example: One input, (1, 3, H, W).
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        self._names = {module: name for name, module in model.named_modules()}
        self._model = model
        self._graph = torch_pruning.DependencyGraph()
        frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
        for parameter in frozen:  # torch-pruning reads autograd's graph
            parameter.requires_grad_(True)
        try:
            with warnings.catch_warnings(), torch.enable_grad():
                warnings.simplefilter("ignore")
                self._graph.build_dependency(model, example_inputs=example, verbose=False)
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)
                parameter.grad = None

    def __enter__(self) -> "Surgery":
        return self

    def __exit__(self, *exception: object) -> None:
        """Release the network."""
        release_(self._graph)

    def cuts(self, layer: str, channels: Sequence[int]) -> Cuts:
        """The slices to remove together with output channels of one layer.

        Args:
            layer: Qualified name of a convolution or linear layer.
            channels: The output channels to remove.

        Raises:
            XaipruneError: If a bare parameter depends on the channels, which cannot be cut.
        """
        module = self._model.get_submodule(layer)
        cut = torch_pruning.prune_linear_out_channels
        if isinstance(module, nn.Conv2d):
            cut = torch_pruning.prune_conv_out_channels
        found = Cuts()
        for dependency, dependent in self._graph.get_pruning_group(module, cut, list(channels)):
            target = dependency.target.module
            if isinstance(target, nn.Parameter):
                raise XaipruneError(f"{layer} is tied to a parameter of the network outside any layer")
            if target in self._names:
                found.channels[(self._names[target], dependency.handler)] = set(dependent)
        return found

    def outputs(self, cuts: Cuts) -> set[str]:
        """The convolutions and linear layers whose output channels are cut."""
        return {
            name
            for name, function in cuts.channels
            if self._graph.is_out_channel_pruning_fn(function)
            and isinstance(self._model.get_submodule(name), nn.Conv2d | nn.Linear)
        }

    def inputs(self, cuts: Cuts) -> dict[str, list[int]]:
        """The convolutions and linear layers whose input channels are cut (depthwise ones aside)."""
        found = {}
        for (name, function), channels in cuts.channels.items():
            module = self._model.get_submodule(name)
            dense = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
            if dense and self._graph.is_in_channel_pruning_fn(function):
                found[name] = sorted(channels)
        return found

    @torch.no_grad()
    def make_(self, cuts: Cuts) -> None:
        """Remove the slices, in place.

        Raises:
            XaipruneError: If a layer would become empty.
        """
        for (name, function), channels in cuts.channels.items():
            module = self._model.get_submodule(name)
            if len(channels) >= _size(self._graph, module, function):
                raise XaipruneError(f"the plan would leave nothing of {name}; raise prune.min_units")
        for (name, function), channels in cuts.channels.items():
            function(self._model.get_submodule(name), sorted(channels))


def release_(graph: Any) -> None:
    """Empty a dependency graph of torch-pruning that is no longer needed.

    Its nodes refer to each other and to the trace, which holds activations: a search would accumulate
    gigabytes of networks before Python's garbage collector finds the cycles.
    """
    for node in graph.module2node.values():
        for linked in (node.inputs, node.outputs, node.dependencies):
            linked.clear()
        node.module = node.grad_fn = None
    graph.module2node.clear()


def _size(graph: Any, module: nn.Module, function: Callable[..., Any]) -> int:
    of_outputs = graph.is_out_channel_pruning_fn(function)
    return graph.get_out_channels(module) if of_outputs else graph.get_in_channels(module)
