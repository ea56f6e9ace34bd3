"""Who consumes a layer's units, and what prevents that the units are removed."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from xaiprune.units.flow import Flow, Op

# Elementwise functions that keep zero at zero, and those that turn it into another constant.
_ZERO_KEEPING = frozenset(
    [
        "relu",
        "relu_",
        "relu6",
        "gelu",
        "silu",
        "silu_",
        "mish",
        "hardswish",
        "hardswish_",
        "leaky_relu",
        "leaky_relu_",
        "elu",
        "elu_",
        "selu",
        "tanh",
        "prelu",
        "hardtanh",
        "hardtanh_",
        "dropout",
        "dropout_",
        "dropout1d",
        "dropout2d",
        "feature_dropout",
        "contiguous",
        "clone",
        "detach",
        "float",
        "half",
        "bfloat16",
        "to",
        "type_as",
        "neg",
        "abs",
        "pow",
        "square",
        "sqrt",
        "softsign",
        "identity",
        "celu",
        "alpha_dropout",
    ]
)
_ZERO_MOVING = frozenset(["sigmoid", "sigmoid_", "hardsigmoid", "hardsigmoid_", "softplus", "exp", "cos"])
# Over space, per channel. Averages and maxima of a constant are that constant (without padding).
_SPATIAL = frozenset(
    [
        "max_pool2d",
        "boolean_dispatch",
        "avg_pool2d",
        "adaptive_avg_pool2d",
        "adaptive_max_pool2d",
        "interpolate",
        "mean",
        "amax",
        "lp_pool2d",
        "adaptive_max_pool2d_with_indices",
        "max_pool2d_with_indices",
    ]
)
_MOVEMENT = frozenset(
    [
        "view",
        "reshape",
        "flatten",
        "permute",
        "transpose",
        "swapaxes",
        "unsqueeze",
        "squeeze",
        "expand",
        "chunk",
        "split",
        "unbind",
        "__getitem__",
        "cat",
        "concat",
        "concatenate",
        "stack",
        "roll",
        "unflatten",
        "movedim",
        "expand_as",
        "tensor_split",
        "narrow",
        "select",
        "pad",
        "repeat",
    ]
)
_ADD = frozenset(
    ["add", "add_", "__add__", "__radd__", "__iadd__", "sub", "sub_", "__sub__", "__rsub__", "__isub__"]
)
_SCALE = frozenset(
    ["mul", "mul_", "__mul__", "__rmul__", "__imul__", "div", "div_", "__truediv__", "true_divide"]
)
# Only the shape of what they read matters.
_FRESH = frozenset(
    ["ones_like", "zeros_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty"]
)
_CHANNEL_MIXING = frozenset(
    ["layer_norm", "group_norm", "softmax", "log_softmax", "normalize", "rms_norm", "instance_norm"]
)


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
    """

    consumers: list[Consumer] = field(default_factory=list)
    depthwise: list[str] = field(default_factory=list)
    blocked: str = ""
    mixed: str = ""

    @property
    def alone(self) -> bool:
        """Whether a unit can be removed without changing what the layer's other units contribute."""
        return not self.blocked and not self.mixed and not self.depthwise and bool(self.consumers)


@dataclass(frozen=True)
class _State:
    """How a value carries the units: which dimension, which unit at each position, zero where masked."""

    dim: int
    unit: Tensor  # (size along dim,), -1 where the position belongs to another layer
    zero: bool
    constant: bool  # a zeroed unit is one constant here, the same for every input and position


def reach(flow: Flow, starts: Iterable[int], dim: int, width: int = 1) -> Reach:
    """Follow a layer's units forward until convolutions and linear layers read them.

    Args:
        flow: A traced forward.
        starts: The values that hold the units, masked at this point (one for each call of the layer).
        dim: The values' dimension over units.
        width: Consecutive positions that belong to one unit.
    """
    found = Reach()
    states: dict[int, _State] = {}
    for value in starts:
        size = flow.shape(value)[dim]
        unit = torch.arange(size).div(width, rounding_mode="floor")
        states[value] = _State(dim % len(flow.shape(value)), unit, zero=True, constant=True)
    if set(states) & flow.outputs:
        found.blocked = "is the network's output"
    for op in flow.ops:
        tracked = {value: states[value] for value in op.inputs if value in states}
        if not tracked or any(value in states for value in op.outputs):
            continue
        state = _step(flow, op, tracked, found)
        if found.blocked:
            return found
        for value, next_state in state.items():
            states[value] = next_state
            if value in flow.outputs:
                found.blocked = "reaches the network's output"
                return found
    if not found.consumers and not found.depthwise and not found.blocked:
        found.blocked = "has no consumer that could be found"
    return found


def _step(flow: Flow, op: Op, tracked: dict[int, _State], found: Reach) -> dict[int, _State]:
    """The states of the op's outputs; fills ``found`` where the units end or are blocked."""
    first = next(iter(tracked.values()))
    name = op.name
    if name in ("conv2d", "linear", "conv1d"):
        return _weighted(flow, op, tracked, found)
    if name == "batch_norm":
        return _keep(flow, op, replace(first, zero=False))
    if name in _ZERO_KEEPING:
        return _keep(flow, op, first)
    if name in _ZERO_MOVING:
        return _keep(flow, op, replace(first, zero=False))
    if name in _SPATIAL:
        return _moved(flow, op, tracked, found, spatial=True)
    if name in _MOVEMENT:
        return _moved(flow, op, tracked, found)
    if name in _CHANNEL_MIXING:
        found.mixed = found.mixed or f"{name} in {op.module or 'the network'} runs over the units"
        return _keep(flow, op, replace(first, zero=False, constant=False))
    if name in _FRESH:
        return {}
    if name in _ADD or name in _SCALE:
        return _binary(flow, op, tracked, found)
    found.blocked = f"{name} in {op.module or 'the network'} mixes it with others"
    return {}


def _keep(flow: Flow, op: Op, state: _State) -> dict[int, _State]:
    sized = [value for value in op.outputs if flow.shape(value)[state.dim] == len(state.unit)]
    return dict.fromkeys(sized, state)


def _weighted(flow: Flow, op: Op, tracked: dict[int, _State], found: Reach) -> dict[int, _State]:
    """Where a convolution or linear layer reads the units: a consumer, if it reads them as its channels."""
    state = next(iter(tracked.values()))
    value = next(iter(tracked))
    module = flow.modules.get(op.module)
    channel_dim = len(flow.shape(value)) - 1 if op.name == "linear" else 1
    is_layer = isinstance(module, nn.Linear if op.name == "linear" else (nn.Conv2d, nn.Conv1d))
    if op.inputs[0] != value or not is_layer or state.dim != channel_dim:
        found.blocked = f"{op.name} in {op.module or 'the network'} runs across it"
        return {}
    groups = getattr(module, "groups", 1)
    if groups > 1 and groups == module.in_channels == module.out_channels:  # type: ignore[union-attr]
        found.depthwise.append(op.module)
        return {}
    if groups > 1:
        found.blocked = f"feeds the grouped convolution {op.module}"
        return {}
    padded = isinstance(module, (nn.Conv2d, nn.Conv1d)) and _pads(module)
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
    own_padding = type(conv) not in (nn.Conv2d, nn.Conv1d) and any(size > 1 for size in conv.kernel_size)
    return any(size > 0 for size in conv.padding) or own_padding


def _binary(flow: Flow, op: Op, tracked: dict[int, _State], found: Reach) -> dict[int, _State]:
    state = next(iter(tracked.values()))
    where = op.module or "the network"
    output = op.outputs[0]
    ndim = len(flow.shape(output))
    from_end = state.dim - len(flow.shape(next(iter(tracked))))  # broadcasting aligns at the end
    others = [value for value in op.inputs if value not in tracked]
    alike = all(torch.equal(other.unit, state.unit) for other in tracked.values())
    if not alike:
        found.blocked = f"{op.name} in {where} combines its units with one another"
        return {}
    constant = _constant_operand(op, flow)
    kept = replace(state, dim=ndim + from_end)
    if op.name in _ADD:
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
        dim = _unit_dim(result)
        if dim is None:
            found.blocked = f"{op.name} in {op.module or 'the network'} spreads it over several dimensions"
            return {}
        unit = result.movedim(dim, 0).flatten(1).amax(1).round().long() - 1
        if spatial and set(unit.tolist()) != set(states[0].unit.tolist()):
            found.blocked = f"{op.name} in {op.module or 'the network'} averages over it"
            return {}
        after[value] = _State(dim, unit, zero, constant)
    return after


def _pooled(flow: Flow, op: Op, tracked: dict[int, _State], spatial: bool) -> dict[int, _State]:
    """The states where pooling or padding keeps the units' dimension and its size; else empty."""
    (value, state), *_ = tracked.items()
    output = op.outputs[0]
    same_rank = len(flow.shape(output)) == len(flow.shape(value))
    if (spatial or op.name == "pad") and same_rank and flow.shape(output)[state.dim] == len(state.unit):
        return {output: state}
    return {}


def _concatenated(flow: Flow, op: Op, tracked: dict[int, _State]) -> dict[int, _State]:
    """The states where tensors are concatenated along the units' dimension; else empty."""
    dim = op.args[1] if len(op.args) > 1 else op.kwargs.get("dim", 0)
    states = list(tracked.values())
    rank = len(flow.shape(op.outputs[0]))
    if op.name not in ("cat", "concat", "concatenate") or any(s.dim != dim % rank for s in states):
        return {}
    if len(op.inputs) != len(op.args[0] if op.args else op.kwargs["tensors"]):
        return {}  # a parameter is among them
    others = {value: torch.full((flow.shape(value)[dim],), -1) for value in op.inputs if value not in tracked}
    unit = torch.cat([tracked[value].unit if value in tracked else others[value] for value in op.inputs])
    zero, constant = all(s.zero for s in states), all(s.constant for s in states)
    return {op.outputs[0]: _State(states[0].dim, unit, zero, constant)}


def _unit_dim(labels: Tensor) -> int | None:
    """The one dimension along which the labels vary; they must be constant over all others."""
    for dim in range(labels.ndim):
        line = labels.movedim(dim, 0).flatten(1)
        if bool((line.amax(1) - line.amin(1) < 1e-6).all()):
            return dim
    return None
