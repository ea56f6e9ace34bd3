"""What one unit costs: the weights that make it and those that read it, in parameters or MACs."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs
from xaiprune.units.calls import layer_calls, tap_of
from xaiprune.units.flow import Flow, default_example, trace
from xaiprune.units.layer import UnitLayer
from xaiprune.units.links import find_links
from xaiprune.units.reach import reach
from xaiprune.units.slices import Slices
from xaiprune.units.weights import weight_dim, weight_of


def unit_costs(
    model: nn.Module, units: Sequence[UnitLayer], budget: str, example: Inputs | None = None
) -> dict[str, Tensor]:
    """What each unit costs, by itself.

    A unit's cost counts the weights that make it (with bias and BatchNorm) and those that read it; for MACs,
    each weight as often as it is used for one image. A channel of a depthwise convolution is removed together
    with the channel that feeds it, so it costs both. A weight between two unit layers counts for both, so a
    plan for a third of the cost saves a little less than a third.

    Args:
        model: The network.
        units: Its unit layers.
        budget: ``params`` or ``macs``.
        example: One input (1, 3, H, W); zeros of the default size if None.

    Returns:
        Unit layer name -> (units,) float64.

    Raises:
        XaipruneError: If the budget is unknown.
    """
    if budget not in ("params", "macs"):
        raise XaipruneError(f"prune.budget={budget} has no costs; choose params or macs")
    example = default_example(model) if example is None else example
    flow = trace(model, example)
    links = find_links(model, units, example)
    uses = _uses(flow)
    sources = _depthwise_sources(flow)
    costs: dict[str, Tensor] = {}
    for layer in units:
        own = _own_cost(flow, uses, layer, links.reaches[layer.name].slices, links.norms, budget)
        for source in _all_sources(sources, layer.name):
            own += _weights_of_output(flow, uses, source, links.norms, budget)
        cost = torch.full((layer.units,), own)
        for consumer in links.reaches[layer.name].consumers:
            reader = flow.modules[consumer.module]
            each = _per_input(reader) * (uses.get(consumer.module, 1) if budget == "macs" else 1)
            reads = torch.tensor(consumer.unit)
            cost += torch.bincount(reads[reads >= 0], minlength=layer.units)[: layer.units] * float(each)
        costs[layer.name] = cost.double()
    return costs


def _uses(flow: Flow) -> dict[str, int]:
    """Layer -> positions (pixels, tokens) at which its weights are applied for one image."""
    uses: dict[str, int] = {}
    for name, values in layer_calls(flow, (nn.Conv2d, nn.Linear)).items():
        outputs = len(weight_of(flow.modules[name]))
        uses[name] = sum(math.prod(flow.shape(value)) // outputs for value in values)
    for name, values in flow.module_outputs.items():
        if isinstance(flow.modules.get(name), nn.MultiheadAttention):
            uses[name] = uses[f"{name}.out_proj"] = sum(math.prod(flow.shape(value)[:-1]) for value in values)
    return uses


def _per_input(module: nn.Module) -> float:
    """Weights that read one input channel."""
    weight = weight_of(module)
    return weight.numel() / weight.shape[1]


def _depthwise_sources(flow: Flow) -> dict[str, list[str]]:
    """Depthwise convolution -> the convolutions whose channels it reads one by one."""
    sources: dict[str, list[str]] = {}
    for name, values in layer_calls(flow, nn.Conv2d).items():
        _, starts = tap_of(flow, name, values)
        for carrier in reach(flow, starts, dim=1).depthwise:
            sources.setdefault(carrier, []).append(name)
    return sources


def _all_sources(sources: dict[str, list[str]], name: str) -> Iterator[str]:
    """What feeds a layer one by one, and what feeds that."""
    for source in sources.get(name, ()):
        yield source
        yield from _all_sources(sources, source)


def _own_cost(
    flow: Flow, uses: dict[str, int], layer: UnitLayer, slices: Slices, norms: dict[str, str], budget: str
) -> float:
    """Weights that make one unit."""
    if layer.heads:
        return _share_of_module(flow, uses, layer, budget)
    if layer.where == "input":  # of a gated MLP: rows of two layers, or two rows of one
        rows = {m: slices.units[f"{m}.weight", weight_dim(flow.modules[m], 0)] for m in slices.writers}
        return sum(
            int((unit >= 0).sum()) / layer.units * _weights_of_output(flow, uses, maker, norms, budget)
            for maker, unit in rows.items()
        )
    return layer.width * _weights_of_output(flow, uses, layer.name, norms, budget)


def _weights_of_output(
    flow: Flow, uses: dict[str, int], name: str, norms: dict[str, str], budget: str
) -> float:
    """Weights that make one output channel (MACs: times their uses; biases and norms do not multiply)."""
    module = flow.modules[name]
    weight = weight_of(module)
    each = weight.numel() / len(weight)
    if budget == "macs":
        return each * uses.get(name, 1)
    return each + (module.bias is not None) + 2 * (name in norms)


def _share_of_module(flow: Flow, uses: dict[str, int], layer: UnitLayer, budget: str) -> float:
    """A head's share of all weights of its attention module but those of the output projection."""
    total = 0.0
    for name, module in flow.modules.items():
        if name == layer.tap or not f"{name}.".startswith(f"{layer.name}." if layer.name else ""):
            continue
        for parameter in module.parameters(recurse=False):
            if budget == "params":
                total += parameter.numel()
            elif parameter.ndim == 2:
                total += parameter.numel() * uses.get(name, 1)
    return total / layer.units
