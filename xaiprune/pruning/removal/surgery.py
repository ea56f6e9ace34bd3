"""torch-pruning's dependency graph, behind this one file: which tensors a channel takes with it."""

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
    """Slices to take out of a network, all in the numbering of the uncut network.

    Attributes:
        channels: Module and torch-pruning's function that slices it -> the channels that go.
    """

    channels: dict[tuple[str, Callable[..., Any]], set[int]] = field(default_factory=dict)

    def add(self, other: "Cuts") -> None:
        """Take these slices as well."""
        for key, channels in other.channels.items():
            self.channels.setdefault(key, set()).update(channels)

    @property
    def modules(self) -> set[str]:
        """Names of the modules that are cut."""
        return {name for name, _ in self.channels}


class Surgery:
    """Finds and makes the cuts of one network, in place; a ``with`` block, after which it is of no more use.

    Args:
        model: The network that will be cut.
        example: One input, (1, 3, H, W).
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        self._names = {module: name for name, module in model.named_modules()}
        self._model = model
        self._graph = torch_pruning.DependencyGraph()
        frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
        for parameter in frozen:  # the graph is read off autograd's
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
        """Let go of the network.

        The graph's nodes point at each other and at the trace, which holds activations: a search would pile
        up gigabytes of networks before Python's collector for cycles comes around.
        """
        for node in self._graph.module2node.values():
            for linked in (node.inputs, node.outputs, node.dependencies):
                linked.clear()
            node.module = node.grad_fn = None
        self._graph.module2node.clear()

    def cuts(self, layer: str, units: Sequence[int]) -> Cuts:
        """The slices that the output channels of one layer take with them.

        Args:
            layer: Qualified name of a convolution or linear layer.
            units: Its output channels that go.

        Raises:
            XaipruneError: If the channels take a bare parameter with them, which cannot be cut.
        """
        module = self._model.get_submodule(layer)
        cut = torch_pruning.prune_linear_out_channels
        if isinstance(module, nn.Conv2d):
            cut = torch_pruning.prune_conv_out_channels
        group = self._graph.get_pruning_group(module, cut, list(units))
        found = Cuts()
        for dependency, channels in group:
            target = dependency.target.module
            if isinstance(target, nn.Parameter):
                raise XaipruneError(f"{layer} is tied to a parameter of the network outside any layer")
            if target in self._names:
                found.channels[(self._names[target], dependency.handler)] = set(channels)
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
        """Cut, in place.

        Raises:
            XaipruneError: If nothing would be left of a layer.
        """
        for (name, function), channels in cuts.channels.items():
            module = self._model.get_submodule(name)
            if len(channels) >= _size(self._graph, module, function):
                raise XaipruneError(f"the plan would leave nothing of {name}; raise prune.min_units")
        for (name, function), channels in cuts.channels.items():
            function(self._model.get_submodule(name), sorted(channels))


def _size(graph: Any, module: nn.Module, function: Callable[..., Any]) -> int:
    of_outputs = graph.is_out_channel_pruning_fn(function)
    return graph.get_out_channels(module) if of_outputs else graph.get_in_channels(module)
