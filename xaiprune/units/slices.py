"""Which tensors have an entry for each unit of a layer, so that all of them are cut together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from xaiprune.units.copying import computed_tensors
from xaiprune.units.flow import Flow, Op
from xaiprune.units.operations import (
    ADD,
    CHANNEL_MIXING,
    CONCATENATION,
    FRESH,
    LINEAR,
    MOVEMENT,
    SCALE,
    SPATIAL,
    WEIGHTED,
    ZERO_KEEPING,
    ZERO_MOVING,
)
from xaiprune.units.weights import is_linear, is_transposed, weight_dim

_SAME_PLACE = ZERO_KEEPING | ZERO_MOVING | SPATIAL | ADD | SCALE | CHANNEL_MIXING | {"batch_norm", "pad"}
# Their one-dimensional parameters belong to dimension 1; those of others to the last one.
_PER_CHANNEL = frozenset(["batch_norm", "instance_norm", "group_norm", "prelu"])

Cuts = dict[tuple[str, int], set[int]]
"""Parameter or buffer and its dimension -> positions to cut out, in the numbering of the uncut network."""


@dataclass
class Slices:
    """The tensors that hold a layer's units.

    Attributes:
        units: Parameter or buffer and its dimension -> the unit at each position, -1 where there is none.
        writers: Convolutions and linear layers whose outputs are the units, or their factors.
        readers: Convolutions and linear layers that read them -> the value that each reads.
        transposed: Those readers that store their weight as (in, out).
        mixed: A normalisation over the units, if there is one.
        blocked: Why they cannot be cut; empty if they can.
    """

    units: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    writers: set[str] = field(default_factory=set)
    readers: dict[str, int] = field(default_factory=dict)
    transposed: set[str] = field(default_factory=set)
    mixed: str = ""
    blocked: str = ""

    def cuts(self, units: Iterable[int]) -> Cuts:
        """Where the units lie in the tensors."""
        chosen = torch.tensor(sorted(set(units)), dtype=torch.long)
        return {
            key: set(torch.isin(unit, chosen).nonzero()[:, 0].tolist()) for key, unit in self.units.items()
        }

    def inputs(self, units: Iterable[int]) -> dict[str, list[int]]:
        """Reader -> its input channels that are cut."""
        cuts = self.cuts(units)
        return {name: sorted(cuts[self._columns(name)]) for name in self.readers}

    def _columns(self, reader: str) -> tuple[str, int]:
        """The weight of a reader and its dimension over inputs."""
        return f"{reader}.weight", 0 if reader in self.transposed else 1

    def also_read(self, known: Mapping[str, tuple[int, ...]]) -> str:
        """Why units that are read in other places, too, cannot be cut; empty where there are none.

        Args:
            known: Layer -> the unit at each of its input channels that masking makes constant.
        """
        for name in self.readers:
            if tuple(self.units[self._columns(name)].tolist()) != known.get(name):
                return f"{name} also reads what they are made of or multiplied with"
        return ""


def places(flow: Flow, values: Iterable[int], dim: int, width: int) -> dict[int, tuple[int, Tensor]]:
    """Value -> its dimension over units, and the unit at each position.

    Args:
        flow: A traced forward.
        values: What a layer's calls made.
        dim: The values' dimension over units.
        width: Consecutive positions that belong to one unit.
    """
    found = {}
    for value in values:
        shape = flow.shape(value)
        found[value] = dim % len(shape), torch.arange(shape[dim]).div(width, rounding_mode="floor")
    return found


def slices_of(flow: Flow, starts: Mapping[int, tuple[int, Tensor]]) -> Slices:
    """Follow units, forward and backward, to all tensors that have a place for each of them.

    It is the shape that matters here, not the content: the operands of a sum or product have the same
    places, a concatenation has those of its parts, a convolution that makes the units has rows, and one
    that reads them columns.

    Args:
        flow: A traced forward.
        starts: Value -> its dimension over units, and the unit at each position, -1 where there is none.
    """
    search = _Search(flow)
    try:
        for value, (dim, unit) in starts.items():
            search.place(value, dim, unit)
        search.run()
    except _Blocked as reason:
        search.found.blocked = str(reason)
    return search.found


class _Blocked(Exception):
    """Why units cannot be cut."""


class _Search:
    """Places of the units in a forward's values, carried on until there are no new ones."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self.found = Slices()
        self._places: dict[int, tuple[int, Tensor]] = {}
        self._open: list[int] = []

    def run(self) -> None:
        """Until no place is new.

        Raises:
            _Blocked: The units cannot be cut.
        """
        while self._open:
            value = self._open.pop(0)
            maker = self._flow.makers.get(value)
            for op in dict.fromkeys([*([maker] if maker else []), *self._flow.consumers.get(value, [])]):
                self._relate(op, value)

    def place(self, value: int, dim: int, unit: Tensor) -> None:
        """Units lie at these positions of a value."""
        dim %= len(self._flow.shape(value))
        known_dim, known = self._places.get(value, (dim, unit))
        merged = torch.where(known < 0, unit, known)
        if known_dim != dim or bool(((unit >= 0) & (merged != unit)).any()):
            raise _Blocked("is combined with other units of its layer")
        if value in self._flow.inputs | self._flow.outputs:
            raise _Blocked(
                "is tied to the network's " + ("input" if value in self._flow.inputs else "output")
            )
        if bool((merged >= 0).any()) and (value not in self._places or not torch.equal(merged, known)):
            self._places[value] = dim, merged
            self._open.append(value)

    def _hold(self, op: Op, tensor: Tensor, dim: int, unit: Tensor) -> None:
        """Units lie at these positions of a parameter or buffer."""
        name = self._flow.names.get(id(tensor))
        if name is None and "weight" in computed_tensors(self._flow.modules[op.module]):
            name = f"{op.module}.weight"
        if name is None or name.rpartition(".")[0] != op.module:
            raise _Blocked(f"meets weights that {op.where} computes")
        if self._flow.uses[id(tensor)] > 1 or len(self._flow.module_outputs.get(op.module, ())) > 1:
            raise _Blocked(f"passes {op.where}, which runs more than once")
        known = self.found.units.get((name, dim), unit)
        self.found.units[name, dim] = torch.where(known < 0, unit, known)

    def _relate(self, op: Op, value: int) -> None:
        """Carry the places of a value on to the others of an operation that made or reads it."""
        name = op.plain
        if name in FRESH:
            return
        if name in WEIGHTED:
            self._through_weights(op, value)
        elif name in MOVEMENT and name != "pad":
            if name not in CONCATENATION or not self._concatenated(op, value):
                self._moved(op)
        elif name in _SAME_PLACE and self._keeps_rank(op, value):
            if name in CHANNEL_MIXING:
                self.found.mixed = self.found.mixed or f"{op.name} in {op.where}"
            self._same(op, value)
        elif name in SPATIAL and op.inputs[0] in self._places:
            self._pooled(op, op.inputs[0])
        else:
            raise _Blocked(f"meets {op.name} in {op.where}, behind which it cannot be cut")

    def _keeps_rank(self, op: Op, value: int) -> bool:
        rank = len(self._flow.shape(value))
        others = (*op.inputs, *op.outputs) if op.plain in SPATIAL else ()
        return all(len(self._flow.shape(other)) == rank for other in others)

    def _through_weights(self, op: Op, value: int) -> None:
        module = self._flow.modules[op.module]
        dim, unit = self._places[value]
        layer = is_linear(module) or isinstance(module, nn.Conv1d | nn.Conv2d)
        if not layer or value in op.inputs[1:]:
            raise _Blocked(f"meets weights that {op.where} computes")
        if dim != (len(self._flow.shape(value)) - 1 if op.plain in LINEAR else 1):
            raise _Blocked(f"{op.name} in {op.where} runs across it")
        if op.plain == "addmm":
            bias, weight = op.args[0], op.args[2]
        else:
            weight, bias = (_argument(op, *place) for place in ((1, "weight"), (2, "bias")))
        depthwise = is_depthwise(module)
        if getattr(module, "groups", 1) > 1 and not depthwise:
            raise _Blocked("is part of a grouped convolution")
        if value in op.outputs or depthwise:
            self.found.writers.add(op.module)
            self._hold(op, weight, weight_dim(module, 0), unit)
            if bias is not None:
                self._hold(op, bias, 0, unit)
        else:
            self.found.readers[op.module] = value
            if is_transposed(module):
                self.found.transposed.add(op.module)
            self._hold(op, weight, weight_dim(module, 1), unit)
        if depthwise:
            for other in (op.inputs[0], op.outputs[0]):
                self.place(other, dim, unit)

    def _same(self, op: Op, value: int) -> None:
        """All operands have the units in the same place, counted from the end, or are broadcast there."""
        dim, unit = self._places[value]
        from_end = dim - len(self._flow.shape(value))
        for other in (*op.inputs, *op.outputs):
            shape = self._flow.shape(other)
            size = shape[from_end] if len(shape) >= -from_end else 1
            if size == len(unit):
                self.place(other, from_end, unit)
            elif size > 1 or other in op.outputs:
                raise _Blocked(f"{op.name} in {op.where} changes its size")
        traced = {id(self._flow.tensors[other]) for other in (*op.inputs, *op.outputs)}
        for leaf in tree_leaves((op.args, op.kwargs)):
            if isinstance(leaf, Tensor) and id(leaf) not in traced and leaf.ndim:
                along = -leaf.ndim if op.plain in _PER_CHANNEL else from_end
                if leaf.ndim >= -along and leaf.shape[along] == len(unit) > 1:
                    self._hold(op, leaf, along % leaf.ndim, unit)

    def _pooled(self, op: Op, value: int) -> None:
        """Averages over other dimensions, which leaves fewer of them."""
        dim, unit = self._places[value]
        shape = [1] * len(self._flow.shape(value))
        shape[dim] = -1
        named = (unit.double() + 1).view(shape).expand(self._flow.shape(value)).contiguous()
        self._read_places(op, tree_leaves(_repeated(op, {id(self._flow.tensors[value]): named})), op.outputs)

    def _concatenated(self, op: Op, value: int) -> bool:
        """The quick way where tensors are concatenated along the units; False where they are not."""
        dim, unit = self._places[value]
        shapes = [self._flow.shape(each) for each in op.inputs]
        along = _argument(op, 1, "dim") or 0
        if along % len(shapes[0]) != dim or len(shapes) != len(_argument(op, 0, "tensors")):
            return False
        sizes = [shape[dim] for shape in shapes]
        if value in op.outputs:
            for each, part in zip(op.inputs, unit.split(sizes), strict=True):
                self.place(each, dim, part)
        parts = [torch.full((size,), -1) for size in sizes]
        for position, each in enumerate(op.inputs):
            parts[position] = unit if each == value else parts[position]
        self.place(op.outputs[0], dim, torch.cat(parts))
        return True

    def _moved(self, op: Op) -> None:
        """Number all entries, move the numbers as the operation moves the values, and see which meet."""
        flow = self._flow
        inputs = list(dict.fromkeys(op.inputs))
        numbers, after = {}, 1  # 0 is padding
        for value in inputs:
            count = flow.shape(value).numel()
            numbers[value] = torch.arange(after, after + count, dtype=torch.float64).view(flow.shape(value))
            after += count
        try:
            results = tree_leaves(_repeated(op, {id(flow.tensors[v]): n for v, n in numbers.items()}))
        except (RuntimeError, IndexError, TypeError) as error:
            reason = f"meets {op.name} in {op.where}, behind which it cannot be cut"
            raise _Blocked(reason) from error
        named = torch.zeros(after, dtype=torch.float64)
        moved = [*numbers.items(), *zip(op.outputs, results, strict=True)]
        for value, entries in moved:
            if value in self._places:
                dim, unit = self._places[value]
                shape = [1] * entries.ndim
                shape[dim] = -1
                flat = (unit.double() + 1).view(shape).expand(entries.shape).flatten()
                named[entries.flatten().long()[flat > 0]] = flat[flat > 0]
        self._read_places(op, [named[entries.long()] for _, entries in moved], [value for value, _ in moved])

    def _read_places(self, op: Op, named: Iterable[Tensor], values: Iterable[int]) -> None:
        for value, names in zip(values, named, strict=True):
            if bool((names > 0).any()):
                dim = one_dim(names)
                if dim is None:
                    raise _Blocked(f"{op.name} in {op.where} spreads it over several dimensions")
                self.place(value, dim, names.movedim(dim, 0).flatten(1).amax(1).round().long() - 1)


def is_depthwise(module: nn.Module) -> bool:
    """Whether a convolution makes each of its channels from one channel of its own."""
    groups = getattr(module, "groups", 1)
    return bool(groups > 1 and groups == module.in_channels == module.out_channels)


def one_dim(names: Tensor) -> int | None:
    """The one dimension along which the names of units vary; they must be constant over all others."""
    for dim in range(names.ndim):
        line = names.movedim(dim, 0).flatten(1)
        if bool((line.amax(1) - line.amin(1) < 1e-6).all()):
            return dim
    return None


def _argument(op: Op, position: int, name: str) -> Any:
    return op.args[position] if len(op.args) > position else op.kwargs.get(name)


def _repeated(op: Op, replaced: Mapping[int, Tensor]) -> Any:
    """Run the operation on other tensors; its constants become zeros on the CPU."""

    def replace(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) in replaced:
            return replaced[id(leaf)]
        return torch.zeros(leaf.shape, dtype=torch.float64) if leaf.is_floating_point() else leaf.cpu()

    args, kwargs = tree_map(replace, (op.args, op.kwargs))
    with torch.no_grad():
        return op.func(*args, **kwargs)
