"""Who consumes a layer's units, and what prevents that the units are removed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_leaves, tree_map

from xaiprune.units.flow import Flow, Op
from xaiprune.units.operations import (
    ADD,
    CHANNEL_MIXING,
    CONCATENATION,
    FRESH,
    MOVEMENT,
    SCALE,
    SPATIAL,
    WEIGHTED,
    ZERO_KEEPING,
    ZERO_MOVING,
)
from xaiprune.units.slices import Slices, is_depthwise, one_dim, places, slices_of


@dataclass(frozen=True)
class Consumer:
    """A convolution or linear layer that reads the units.

    Attributes:
        module: Its qualified name.
        unit: For each of its input channels the unit that it reads, -1 for channels of others; (channels,).
        zero: Whether a zeroed unit is still zero here (else it may have become another constant).
        padded: Whether it pads with zeros in space, so that a constant cannot move into its bias exactly.
    """

    module: str
    unit: tuple[int, ...]
    zero: bool
    padded: bool


@dataclass
class Reach:
    """What lies between one layer's units and their consumers.

    Attributes:
        consumers: Who reads the units, in execution order.
        depthwise: Depthwise convolutions that carry the units on, one channel each.
        blocked: Why the units cannot be removed alone; empty if they can.
        mixed: Normalisations over the units (the consumers are known, but removal is not exact).
        slices: The tensors that hold the units, where the consumers are known.
        uncut: Why these tensors cannot be cut.
    """

    consumers: list[Consumer] = field(default_factory=list)
    depthwise: list[str] = field(default_factory=list)
    blocked: str = ""
    mixed: str = ""
    slices: Slices = field(default_factory=Slices)
    uncut: str = ""

    @property
    def alone(self) -> bool:
        """Whether a unit can be removed without changing what the layer's other units contribute."""
        return bool(self.consumers) and not (self.blocked or self.mixed or self.uncut or self.depthwise)


@dataclass(frozen=True)
class _State:
    """How a value carries the units: which dimension, which unit at each position, zero where masked."""

    dim: int
    unit: Tensor  # (size along dim,), -1 where the position belongs to another layer
    zero: bool
    constant: bool  # a zeroed unit is one constant here, the same for every input and position


def reach(
    flow: Flow, starts: Sequence[int], dim: int, width: int = 1, *, past_depthwise: bool = False
) -> Reach:
    """Follow a layer's units forward until convolutions and linear layers read them.

    Args:
        flow: A traced forward.
        starts: The values that hold the units, masked at this point (one for each call of the layer).
        dim: The values' dimension over units.
        width: Consecutive positions that belong to one unit.
        past_depthwise: Whether a depthwise convolution only changes the units, as in an MLP that has one
            inside; else they end there, because its channels are units of their own.
    """
    found = Reach()
    begin = places(flow, starts, dim, width)
    states = {value: _State(at, unit, zero=True, constant=True) for value, (at, unit) in begin.items()}
    if set(states) & flow.outputs:
        found.blocked = "is the network's output"
    for op in flow.ops:
        tracked = {value: states[value] for value in op.inputs if value in states}
        if not tracked or any(value in states for value in op.outputs):
            continue
        state = _step(flow, op, tracked, found, past_depthwise)
        if found.blocked:
            return found
        for value, next_state in state.items():
            states[value] = next_state
            if value in flow.outputs:
                found.blocked = "reaches the network's output"
                return found
    if not found.consumers and not found.depthwise and not found.blocked:
        found.blocked = "has no consumer that could be found"
    if found.consumers and not found.blocked:
        found.slices = slices_of(flow, begin)
        found.uncut = found.slices.blocked or found.slices.also_read(
            {consumer.module: consumer.unit for consumer in found.consumers}
        )
    return found


def _step(
    flow: Flow, op: Op, tracked: dict[int, _State], found: Reach, past_depthwise: bool
) -> dict[int, _State]:
    """The states of the op's outputs; fills ``found`` where the units end or are blocked."""
    first = next(iter(tracked.values()))
    name = op.plain
    if name in WEIGHTED:
        return _weighted(flow, op, tracked, found, past_depthwise)
    if name == "batch_norm":
        return _keep(flow, op, replace(first, zero=False))
    if name in ZERO_KEEPING:
        return _keep(flow, op, first)
    if name in ZERO_MOVING:
        return _keep(flow, op, replace(first, zero=False))
    if name in SPATIAL:
        return _moved(flow, op, tracked, found, spatial=True)
    if name in MOVEMENT:
        return _moved(flow, op, tracked, found)
    if name in CHANNEL_MIXING:
        found.mixed = found.mixed or f"{name} in {op.where} runs over the units"
        return _keep(flow, op, replace(first, zero=False, constant=False))
    if name in FRESH:
        return {}
    if name in ADD or name in SCALE:
        return _binary(flow, op, tracked, found)
    found.blocked = f"{op.name} in {op.where} mixes it with others"
    return {}


def _keep(flow: Flow, op: Op, state: _State) -> dict[int, _State]:
    sized = [value for value in op.outputs if flow.shape(value)[state.dim] == len(state.unit)]
    return dict.fromkeys(sized, state)


def _weighted(
    flow: Flow, op: Op, tracked: dict[int, _State], found: Reach, past_depthwise: bool
) -> dict[int, _State]:
    """Where a convolution or linear layer reads the units: a consumer, if it reads them as its channels."""
    state = next(iter(tracked.values()))
    value = next(iter(tracked))
    module = flow.modules.get(op.module)
    channel_dim = len(flow.shape(value)) - 1 if op.plain == "linear" else 1
    is_layer = isinstance(module, nn.Linear if op.plain == "linear" else (nn.Conv2d, nn.Conv1d))
    if op.inputs[0] != value or not is_layer or state.dim != channel_dim:
        found.blocked = f"{op.name} in {op.where} runs across it"
        return {}
    depthwise = is_depthwise(flow.modules[op.module])
    if depthwise and not past_depthwise:
        found.depthwise.append(op.module)
        return {}
    if getattr(module, "groups", 1) > 1 and not depthwise:
        found.blocked = f"feeds the grouped convolution {op.module}"
        return {}
    padded = isinstance(module, (nn.Conv2d, nn.Conv1d)) and _pads(module)
    if depthwise:  # of zeros it makes its bias, everywhere
        return _keep(
            flow, op, replace(state, zero=False, constant=state.constant and not (padded and not state.zero))
        )
    if not state.zero and padded:
        found.blocked = f"is a constant, not zero, where {op.module} pads with zeros"
    elif not state.constant and not found.mixed:
        found.blocked = f"does not stay constant on its way to {op.module}"
    found.consumers.append(Consumer(op.module, tuple(state.unit.tolist()), state.zero, padded))
    return {}


def _pads(conv: nn.Conv2d | nn.Conv1d) -> bool:
    if isinstance(conv.padding, str):
        return conv.padding != "valid" and any(size > 1 for size in conv.kernel_size)
    # Subclasses that pad by themselves ("same" of TensorFlow) have kernels above 1 and padding 0.
    plain = parametrize.type_before_parametrizations(conv) in (nn.Conv2d, nn.Conv1d)
    own_padding = not plain and any(size > 1 for size in conv.kernel_size)
    return any(size > 0 for size in conv.padding) or own_padding


def _binary(flow: Flow, op: Op, tracked: dict[int, _State], found: Reach) -> dict[int, _State]:
    state = next(iter(tracked.values()))
    where = op.where
    output = op.outputs[0]
    ndim = len(flow.shape(output))
    from_end = state.dim - len(flow.shape(next(iter(tracked))))  # broadcasting aligns at the end
    others = [value for value in op.inputs if value not in tracked]
    alike = all(torch.equal(other.unit, state.unit) for other in tracked.values())
    if not alike:
        found.blocked = f"{op.name} in {where} combines its units with one another"
        return {}
    if op.plain not in ADD | {"mul"} and set(op.inputs[1:]) & set(tracked):
        found.blocked = f"{op.name} in {where} divides by it"
        return {}
    constant = _constant_operand(op, flow)
    kept = replace(state, dim=ndim + from_end)
    if op.plain in ADD:
        if others:
            found.blocked = f"is added to another layer's output in {where}"
            return {}
        zero = state.zero and all(s.zero for s in tracked.values()) and not constant
        return {output: replace(kept, zero=zero)}
    if others and not state.zero:
        return {output: replace(kept, constant=False)}
    return {output: kept}


def _constant_operand(op: Op, flow: Flow) -> bool:
    """Whether a parameter, a buffer or a number is among the operands."""
    operands = tree_leaves((op.args[:2], op.kwargs.get("other")))
    traced = {id(flow.tensors[value]) for value in op.inputs}
    return any(
        (isinstance(leaf, Tensor) and id(leaf) not in traced) or (isinstance(leaf, int | float) and leaf != 0)
        for leaf in operands
    )


def _moved(
    flow: Flow, op: Op, tracked: dict[int, _State], found: Reach, spatial: bool = False
) -> dict[int, _State]:
    """Repeat the op on numbers that name the units, and read from the result where they are."""
    quick = _concatenated(flow, op, tracked) or _pooled(flow, op, tracked, spatial)
    if quick:
        return quick
    labels: dict[int, Tensor] = {}
    for value in op.inputs:
        shape = flow.shape(value)
        if value in tracked:
            state = tracked[value]
            view = [1] * len(shape)
            view[state.dim] = -1
            unit = state.unit.to(torch.float64) + 1  # 0 is for other layers, and for padding
            labels[id(flow.tensors[value])] = unit.view(view).expand(shape).contiguous()
        else:
            labels[id(flow.tensors[value])] = torch.zeros(shape, dtype=torch.float64)

    def label(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) not in labels:  # a parameter or constant, maybe on another device
            floating = leaf.is_floating_point()
            return torch.zeros(leaf.shape, dtype=torch.float64) if floating else leaf.cpu()
        return labels[id(leaf)]

    args, kwargs = tree_map(label, (op.args, op.kwargs))
    with torch.no_grad():
        results = [leaf for leaf in tree_leaves(op.func(*args, **kwargs)) if isinstance(leaf, Tensor)]
    states = list(tracked.values())
    zero, constant = all(s.zero for s in states), all(s.constant for s in states)
    after: dict[int, _State] = {}
    for value, result in zip(op.outputs, results, strict=True):
        if not result.is_floating_point() or not bool((result > 0).any()):
            continue
        dim = one_dim(result)
        if dim is None:
            found.blocked = f"{op.name} in {op.where} spreads it over several dimensions"
            return {}
        unit = result.movedim(dim, 0).flatten(1).amax(1).round().long() - 1
        if spatial and set(unit.tolist()) != set(states[0].unit.tolist()):
            found.blocked = f"{op.name} in {op.where} averages over it"
            return {}
        after[value] = _State(dim, unit, zero, constant)
    return after


def _pooled(flow: Flow, op: Op, tracked: dict[int, _State], spatial: bool) -> dict[int, _State]:
    """The states where pooling or padding keeps the units' dimension and its size; else empty."""
    (value, state), *_ = tracked.items()
    output = op.outputs[0]
    same_rank = len(flow.shape(output)) == len(flow.shape(value))
    if (spatial or op.plain == "pad") and same_rank and flow.shape(output)[state.dim] == len(state.unit):
        return {output: replace(state, constant=state.constant and (state.zero or not _adds_zeros(op)))}
    return {}


def _adds_zeros(op: Op) -> bool:
    """Whether an operation puts zeros around a map, so that a constant is another number at its border."""
    if op.plain == "pad":
        return bool(_argument(op, 2, "mode", "constant") == "constant")
    averages = op.plain == "avg_pool2d" and _argument(op, 5, "count_include_pad", True)
    return bool(averages and torch.tensor(_argument(op, 3, "padding", 0)).any())


def _argument(op: Op, position: int, name: str, default: Any) -> Any:
    return op.args[position] if len(op.args) > position else op.kwargs.get(name, default)


def _concatenated(flow: Flow, op: Op, tracked: dict[int, _State]) -> dict[int, _State]:
    """The states where tensors are concatenated along the units' dimension; else empty."""
    dim = op.args[1] if len(op.args) > 1 else op.kwargs.get("dim", 0)
    states = list(tracked.values())
    rank = len(flow.shape(op.outputs[0]))
    if op.plain not in CONCATENATION or any(s.dim != dim % rank for s in states):
        return {}
    if len(op.inputs) != len(op.args[0] if op.args else op.kwargs["tensors"]):
        return {}  # a parameter is among them
    others = {value: torch.full((flow.shape(value)[dim],), -1) for value in op.inputs if value not in tracked}
    unit = torch.cat([tracked[value].unit if value in tracked else others[value] for value in op.inputs])
    zero, constant = all(s.zero for s in states), all(s.constant for s in states)
    return {op.outputs[0]: _State(states[0].dim, unit, zero, constant)}
