"""Removes heads from attention modules, whatever the layout of their projections.

The gradient of one head's merged output, at random tokens, is nonzero at exactly those rows of the
query, key and value projections (and of tables such as Swin's position biases) that serve this head.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, evaluating, explained, run
from xaiprune.units.copying import copied
from xaiprune.units.cutting import FORWARD_ERRORS, set_sizes_
from xaiprune.units.flow import Flow
from xaiprune.units.head_sizes import KEY_COUNTS, fit_, set_sizes_of_heads_
from xaiprune.units.layer import UnitLayer
from xaiprune.units.weights import is_linear, weight_dim, weight_of

# Positional and keyword arguments of one call of a module.
Call = tuple[tuple[Any, ...], dict[str, Any]]


def why_unshrinkable(flow: Flow, layers: Sequence[UnitLayer]) -> dict[str, str]:
    """Why no head can be removed from an attention module: layer -> why; those that can are not in it.

    One head is removed from a copy of each module; those of the same type, sizes and settings are tried once.
    Networks without values (on the ``meta`` device) cannot be tried.

    Args:
        flow: A traced forward.
        layers: The heads of attention modules.
    """
    model = flow.modules[""]
    if any(tensor.is_meta for tensor in explained(flow.example).values()):
        return {}
    tried: dict[Any, str] = {}
    found = {}
    copy: nn.Module | None = None
    calls: dict[str, Call] = {}
    for layer in layers:
        module = model.get_submodule(layer.name)
        if layer.units < 2 or isinstance(module, nn.MultiheadAttention):
            continue
        key = _settings(module, layer)
        if key not in tried:
            if copy is None:
                copy = copied(model)
                calls = record_calls(copy, [each.name for each in layers], flow.example)
            try:
                shrink_heads_(copy, layer, [0], calls[layer.name])
                tried[key] = ""
            except XaipruneError as error:
                tried[key] = str(error).removeprefix(layer.name).strip()
        if tried[key]:
            found[layer.name] = tried[key]
    return found


def _settings(module: nn.Module, layer: UnitLayer) -> Any:
    """What modules have in common that compute the same function of their input and weights."""
    shapes = tuple((name, parameter.shape) for name, parameter in module.named_parameters())
    plain = [(k, v) for k, v in vars(module).items() if isinstance(v, bool | int | float | str | tuple)]
    return type(module), layer.units, layer.width, shapes, repr(sorted(plain))


def record_calls(model: nn.Module, names: Sequence[str], example: Inputs) -> dict[str, Call]:
    """The arguments with which the network first calls its modules.

    Args:
        model: The network; runs once, in eval mode.
        names: Of the modules.
        example: One input, (1, 3, H, W), or ids (1, T), or a dict of tensors.
    """
    calls: dict[str, Call] = {}
    with ExitStack() as hooks, torch.no_grad(), evaluating(model):
        for name in names:

            def keep(_: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                # A cache of keys and values grows with every call.
                kept = {key: value for key, value in kwargs.items() if not hasattr(value, "get_seq_length")}
                calls.setdefault(name, (args, kept))

            module = model.get_submodule(name)
            hooks.enter_context(module.register_forward_pre_hook(keep, with_kwargs=True))
        run(model, example)
    return calls


@torch.no_grad()
def shrink_heads_(model: nn.Module, layer: UnitLayer, removed: Sequence[int], call: Call) -> tuple[int, ...]:
    """Remove heads from one attention module, in place.

    Where several heads share their keys and values, these go with the last of them. Every group that is left
    has to be of one size; in a group that loses more heads than others, some stay, with zeros in the output
    projection.

    Args:
        model: The network.
        layer: The module's heads.
        removed: Heads to remove.
        call: Arguments of one call of the module, as the network makes it.

    Returns:
        The heads that were removed.

    Raises:
        XaipruneError: If the module's projections are not divided among its heads, or its forward needs
            the original number of heads; the module is then unchanged.
    """
    module = model.get_submodule(layer.name)
    projection = layer.tap.removeprefix(f"{layer.name}.")
    if projection == layer.tap or not is_linear(model.get_submodule(layer.tap)):
        raise XaipruneError(f"{layer.tap} is not a projection of {layer.name}; the units can only be masked")
    try:
        owners = _owners(module, layer, projection, call)
    except XaipruneError:
        raise
    except FORWARD_ERRORS as error:
        raise XaipruneError(
            f"{layer.name} does not run in float64, which shows what belongs to a head; it can only be masked"
        ) from error
    groups = _groups(owners, layer)
    kept = _even(groups, set(removed))
    shrunk = copied(module)
    zeroed = [head for head in kept if head in set(removed)]
    weight_of(shrunk.get_submodule(projection))[:, layer.channels(zeroed)] = 0
    for name, (dim, serves) in owners.items():
        _slice_(shrunk, name, dim, serves[kept].any(0).nonzero()[:, 0])
    _slice_(
        shrunk, f"{projection}.weight", weight_dim(module.get_submodule(projection), 1), layer.channels(kept)
    )
    left = sum(not set(kept).isdisjoint(group) for group in groups)
    set_sizes_of_heads_(shrunk, layer, len(kept), left)
    _configure_(shrunk, module, call, len(kept), left)
    masked = copied(module).double()
    weight_of(masked.get_submodule(projection))[:, layer.channels(removed)] = 0
    fit_(shrunk, masked, layer, len(kept), _random_call(call))
    parent, _, child = layer.name.rpartition(".")
    setattr(model.get_submodule(parent), child, shrunk)
    return tuple(head for head in removed if head not in set(zeroed))


def _groups(owners: Mapping[str, tuple[int, Tensor]], layer: UnitLayer) -> list[list[int]]:
    """The heads that share keys and values, in groups; each by itself where none do."""
    shared = torch.eye(layer.units, dtype=torch.bool)
    for _, serves in owners.values():
        for column in serves.T.unique(dim=0):
            if not bool(column.all()):  # keys and values of all heads are never removed
                shared |= column[:, None] & column
    return [row.nonzero()[:, 0].tolist() for row in shared.unique(dim=0).flip(0)]


def _even(groups: Sequence[Sequence[int]], removed: set[int]) -> list[int]:
    """The heads to keep: those not removed, and so many others that all groups left have one size."""
    left = [group for group in groups if not removed.issuperset(group)]
    size = max(len(set(group) - removed) for group in left)
    kept = [sorted(group, key=lambda head: head in removed)[:size] for group in left]
    return sorted(head for group in kept for head in group)


def _owners(
    module: nn.Module, layer: UnitLayer, projection: str, call: Call
) -> dict[str, tuple[int, Tensor]]:
    """Parameter name -> the dimension that is divided among heads, and the heads that each position serves.

    The latter is (heads, positions) bool: where heads share keys and values, these serve several of them.
    """
    probe = copied(module).double()
    probe.eval()  # some modules' train() does not return them
    with torch.enable_grad():
        outputs, parameters, merged = _probe(probe, projection, call)
        names = [*outputs, *parameters]
        sources = [*outputs.values(), *parameters.values()]
        touched: dict[str, list[Tensor]] = {name: [] for name in names}
        for head in range(layer.units):
            part = merged[..., head * layer.width : (head + 1) * layer.width]
            score = (part * _random(part)).sum()
            gradients = torch.autograd.grad(score, sources, retain_graph=True, allow_unused=True)
            for name, source, gradient in zip(names, sources, gradients, strict=True):
                touched[name].append((torch.zeros_like(source) if gradient is None else gradient).abs())
    owners: dict[str, tuple[int, Tensor]] = {}
    for name in outputs:
        by_head = (torch.stack([gradient.flatten(0, -2).sum(0) for gradient in touched[name]]) > 0).cpu()
        if _is_divided(by_head):
            linear = probe.get_submodule(name)
            owners[f"{name}.weight"] = (weight_dim(linear, 0), by_head)
            if linear.bias is not None:
                owners[f"{name}.bias"] = (0, by_head)
        elif not bool(by_head.all()):
            raise XaipruneError(
                f"{layer.name}.{name} is not divided among the heads; they can only be masked"
            )
    for name in parameters:
        stacked = torch.stack(touched[name])  # (heads, *shape)
        for dim in range(stacked.ndim - 1):
            lines = stacked.movedim(dim + 1, 1).reshape(len(stacked), stacked.shape[dim + 1], -1)
            serves = (lines.sum(2) > 0).cpu()
            if _is_divided(serves) and stacked.shape[dim + 1] % layer.units == 0:
                owners[name] = (dim, serves)
                break
    silent = [name for name in parameters if not any(bool(each.any()) for each in touched[name])]
    _add_silent_(owners, module, silent)
    if not any(name.endswith(".weight") for name in owners):
        raise XaipruneError(
            f"no projection of {layer.name} is divided among its heads; they can only be masked"
        )
    return owners


def _add_silent_(owners: dict[str, tuple[int, Tensor]], module: nn.Module, silent: Sequence[str]) -> None:
    """Vectors that no head depends on are laid out as others of their size, in place.

    A bias of the keys is one: it adds the same to all of a query's scores. In BEiT it is a buffer.
    """
    lengths = {serves.shape[1]: (0, serves) for _, serves in owners.values()}
    statistics = {id(m) for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    buffers = [
        f"{prefix}.{name}".removeprefix(".")
        for prefix, part in module.named_modules()
        for name in part._buffers
        if id(part) not in statistics
    ]
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    for name in [*silent, *buffers]:
        tensor = tensors.get(name)
        # Integers are indices.
        if tensor is not None and tensor.is_floating_point() and tensor.ndim == 1 and len(tensor) in lengths:
            owners[name] = lengths[len(tensor)]


def _probe(
    module: nn.Module, projection: str, call: Call
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Run on random tokens: outputs of the linear layers, the other parameters, the merged heads."""
    outputs: dict[str, Tensor] = {}
    merged: list[Tensor] = []
    after: set[int] = set()  # parameters behind the projection, which no head depends on
    for name, child in module.named_modules():

        def pass_by(part: nn.Module, _: Any) -> None:
            after.update(map(id, part.parameters(recurse=False)) if merged else ())

        child.register_forward_pre_hook(pass_by)
        if is_linear(child) and name != projection:

            def keep(_: nn.Module, args: Any, output: Tensor, name: str = name) -> None:
                outputs[name] = output

            child.register_forward_hook(keep)
    module.get_submodule(projection).register_forward_pre_hook(lambda _, args: merged.append(args[0]))
    tensors = {name: tensor.requires_grad_() for name, tensor in module.named_parameters()}
    args, kwargs = _random_call(call)
    module(*args, **kwargs)
    # Linear layers that the module never calls (BEiT's qkv) are functions of their weights.
    called = [module.get_submodule(name) for name in (*outputs, projection)]
    of_linear = {id(parameter) for layer in called for parameter in layer.parameters()}
    return (
        outputs,
        {name: each for name, each in tensors.items() if id(each) not in of_linear | after},
        merged[0],
    )


def _random_call(call: Call) -> Call:
    """The call in float64 with random tokens, wherever these are given; masks and position tables stay."""
    args, kwargs = call
    tokens = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
    if tokens is not None and tokens.is_floating_point():
        random = _random(tokens).requires_grad_()
        args, kwargs = tree_map(lambda value: random if value is tokens else value, (args, kwargs))
    args, kwargs = tree_map(_double, (args, kwargs))
    return args, kwargs


def _random(like: Tensor) -> Tensor:
    """Float64 numbers that are always the same, so that nobody's random numbers change."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.device)


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _is_divided(serves: Tensor) -> bool:
    """Whether the positions are divided among heads, or groups of heads of one size, equally.

    Those that serve one head are divided among the heads, and those that serve a group among the groups.

    Args:
        serves: (heads, positions) bool.
    """
    counts = serves.sum(1)
    if not bool(serves.any(0).all()) or bool(serves.all()) or not bool((counts == counts[0]).all()):
        return False
    sets = serves.T.unique(dim=0)
    return all(bool((sets[sets.sum(1) == size].sum(0) == 1).all()) for size in sets.sum(1).unique())


def _slice_(module: nn.Module, name: str, dim: int, index: Tensor) -> None:
    parent_name, _, leaf = name.rpartition(".")
    parent = module.get_submodule(parent_name)
    old: Tensor = getattr(parent, leaf)
    new = old.detach().index_select(dim, index.to(old.device)).clone()
    is_parameter = isinstance(old, nn.Parameter)
    setattr(parent, leaf, nn.Parameter(new, requires_grad=old.requires_grad) if is_parameter else new)
    if leaf == "weight":
        set_sizes_(parent)


def _configure_(shrunk: nn.Module, module: nn.Module, call: Call, heads: int, groups: int) -> None:
    """Give the parts of a module transformers' configuration again, which the whole network shares.

    Only where the forward reads the numbers of heads from it (and so fails where they are none) they get one
    of their own.
    """
    parts = [
        (part, former.config)
        for part, former in zip(shrunk.modules(), module.modules(), strict=True)
        if hasattr(vars(former).get("config"), "num_attention_heads")
    ]
    for part, _ in parts:
        _set_counts_(part.config, None, None)
    try:
        shrunk(*call[0], **call[1])
    except FORWARD_ERRORS:
        for part, config in parts:
            keys = getattr(config, KEY_COUNTS, None)
            _set_counts_(part.config, heads, keys if keys == 1 else groups)
    else:
        for part, config in parts:
            part.config = config


def _set_counts_(config: Any, heads: int | None, keys: int | None) -> None:
    for name, count in (("num_attention_heads", heads), (KEY_COUNTS, keys)):
        stored = getattr(config, "attribute_map", {}).get(name, name)
        if stored in vars(config):
            vars(config)[stored] = count
