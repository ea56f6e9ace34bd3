"""The layers that a traced forward ran: what their calls made, in which order, and which are classifiers."""

from collections.abc import Iterable, Sequence

from torch import nn

from xaiprune.units.flow import Flow
from xaiprune.units.layer import UnitLayer
from xaiprune.units.operations import LINEAR, WEIGHTED
from xaiprune.units.weights import is_linear, is_transposed


def layer_calls(flow: Flow, types: type[nn.Module] | tuple[type[nn.Module], ...]) -> dict[str, list[int]]:
    """The convolutions and linear layers of the given types that ran, in execution order.

    Returns:
        Layer name -> the values that its calls made.
    """
    calls: dict[str, list[int]] = {}
    linear = issubclass(nn.Linear, types)
    for op in flow.ops:
        if op.plain in WEIGHTED and (
            isinstance(module := flow.modules.get(op.module), types) or (linear and is_transposed(module))
        ):
            calls.setdefault(op.module, []).extend(op.outputs)
    return calls


def read_by(flow: Flow, name: str) -> list[int]:
    """The values that a linear layer reads, one for each of its calls."""
    return [op.inputs[0] for op in flow.ops if op.module == name and op.plain in LINEAR]


def is_classifier(flow: Flow, values: Iterable[int]) -> bool:
    """Whether a layer's values reach the network's output with no convolution or linear layer between."""
    frontier = list(values)
    seen = set(frontier)
    while frontier:
        value = frontier.pop()
        if value in flow.outputs:
            return True
        for op in flow.consumers.get(value, []):
            module = flow.modules.get(op.module)
            if is_linear(module) or isinstance(module, (nn.Conv2d, nn.MultiheadAttention)):
                continue
            frontier += [made for made in op.outputs if made not in seen]
            seen.update(op.outputs)
    return False


def tap_of(flow: Flow, name: str, values: Sequence[int]) -> tuple[str, list[int]]:
    """Where a layer's units are read: at the BatchNorm that serves it alone, else at the layer itself.

    Args:
        flow: The traced forward.
        name: The layer.
        values: What its calls made.

    Returns:
        The tap's name, and the values that its calls made.
    """
    taps: set[str] = set()
    for value in values:
        readers = flow.consumers.get(value, [])
        taps |= {op.module if op.name == "batch_norm" and len(readers) == 1 else name for op in readers}
    if len(taps) == 1 and name not in taps:
        tap = taps.pop()
        made = flow.module_outputs.get(tap, [])
        if isinstance(flow.modules.get(tap), nn.modules.batchnorm._BatchNorm) and len(made) == len(values):
            return tap, sorted(made)
    return name, list(values)


def in_execution_order(flow: Flow, layers: Iterable[UnitLayer]) -> list[UnitLayer]:
    """Unit layers sorted by when their taps (where these are called, else the layers) first ran."""
    first: dict[str, int] = {}
    for position, op in enumerate(flow.ops):
        first.setdefault(op.module, position)
    return sorted(layers, key=lambda layer: first[layer.tap] if layer.tap in first else first[layer.name])
