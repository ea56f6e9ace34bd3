"""Removes heads from attention modules, whatever the layout of their projections.

The gradient of one head's merged output, at random tokens, is nonzero at exactly those rows of the
query, key and value projections (and of tables such as Swin's position biases) that serve this head.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.forward import evaluating
from xaiprune.units.copying import copied
from xaiprune.units.cutting import FORWARD_ERRORS
from xaiprune.units.flow import Flow
from xaiprune.units.layer import UnitLayer

_HEAD_COUNTS = ("num_heads", "n_heads", "heads")
_WIDTHS = ("attn_dim", "all_head_dim", "inner_dim")
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
    model, example = flow.modules[""], flow.tensors[0]
    if example.is_meta:
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
                calls = record_calls(copy, [each.name for each in layers], torch.zeros_like(example))
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


def record_calls(model: nn.Module, names: Sequence[str], example: Tensor) -> dict[str, Call]:
    """The arguments with which the network first calls its modules.

    Args:
        model: The network; runs once, in eval mode.
        names: Of the modules.
        example: One input, (1, 3, H, W).
    """
    calls: dict[str, Call] = {}
    with ExitStack() as hooks, torch.no_grad(), evaluating(model):
        for name in names:

            def keep(_: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                calls.setdefault(name, (args, kwargs))

            module = model.get_submodule(name)
            hooks.enter_context(module.register_forward_pre_hook(keep, with_kwargs=True))
        model(example)
    return calls


@torch.no_grad()
def shrink_heads_(model: nn.Module, layer: UnitLayer, removed: Sequence[int], call: Call) -> None:
    """Remove heads from one attention module, in place.

    Args:
        model: The network.
        layer: The module's heads.
        removed: Heads to remove.
        call: Arguments of one call of the module, as the network makes it.

    Raises:
        XaipruneError: If the module's projections are not divided among its heads, or its forward needs
            the original number of heads; the module is then unchanged.
    """
    module = model.get_submodule(layer.name)
    projection = layer.tap.removeprefix(f"{layer.name}.")
    if projection == layer.tap or not isinstance(model.get_submodule(layer.tap), nn.Linear):
        raise XaipruneError(f"{layer.tap} is not a projection of {layer.name}; the units can only be masked")
    kept = [head for head in range(layer.units) if head not in set(removed)]
    try:
        owners = _owners(module, layer, projection, call)
    except XaipruneError:
        raise
    except FORWARD_ERRORS as error:
        raise XaipruneError(
            f"{layer.name} does not run in float64, which shows what belongs to a head; it can only be masked"
        ) from error
    shrunk = copied(module)
    for name, (dim, owner) in owners.items():
        index = torch.isin(owner, torch.tensor(kept)).nonzero()[:, 0]
        _slice_(shrunk, name, dim, index)
    kept_channels = (torch.tensor(kept)[:, None] * layer.width + torch.arange(layer.width)).flatten()
    _slice_(shrunk, f"{projection}.weight", 1, kept_channels)
    _set_sizes_(shrunk, layer, len(kept))
    _check_forward(shrunk, layer, call)
    parent, _, child = layer.name.rpartition(".")
    setattr(model.get_submodule(parent), child, shrunk)


def _owners(
    module: nn.Module, layer: UnitLayer, projection: str, call: Call
) -> dict[str, tuple[int, Tensor]]:
    """Parameter name -> the dimension that is divided among heads, and the head at each position."""
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
        by_head = torch.stack([gradient.flatten(0, -2).sum(0) for gradient in touched[name]]) > 0
        owner = _partition(by_head)
        if owner is not None:
            owners[f"{name}.weight"] = (0, owner)
            if probe.get_submodule(name).bias is not None:
                owners[f"{name}.bias"] = (0, owner)
        elif not bool(by_head.all()):
            raise XaipruneError(
                f"{layer.name}.{name} is not divided among the heads; they can only be masked"
            )
    for name in parameters:
        stacked = torch.stack(touched[name])  # (heads, *shape)
        for dim in range(stacked.ndim - 1):
            lines = stacked.movedim(dim + 1, 1).reshape(len(stacked), stacked.shape[dim + 1], -1)
            owner = _partition(lines.sum(2) > 0)
            if owner is not None and stacked.shape[dim + 1] % layer.units == 0:
                owners[name] = (dim, owner)
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
    lengths = {len(owner): (dim, owner) for dim, owner in owners.values() if dim == 0}
    statistics = {id(m) for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    buffers = [
        f"{prefix}.{name}".removeprefix(".")
        for prefix, part in module.named_modules()
        for name in part._buffers
        if id(part) not in statistics
    ]
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    for name in [*silent, *buffers]:
        if name in tensors and tensors[name].ndim == 1 and len(tensors[name]) in lengths:
            owners[name] = lengths[len(tensors[name])]


def _probe(
    module: nn.Module, projection: str, call: Call
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Run on random tokens: outputs of the linear layers, the other parameters, the merged heads."""
    outputs: dict[str, Tensor] = {}
    merged: list[Tensor] = []
    for name, child in module.named_modules():
        if isinstance(child, nn.Linear) and name != projection:

            def keep(_: nn.Module, args: Any, output: Tensor, name: str = name) -> None:
                outputs[name] = output

            child.register_forward_hook(keep)
    module.get_submodule(projection).register_forward_pre_hook(lambda _, args: merged.append(args[0]))
    tensors = {name: tensor.requires_grad_() for name, tensor in module.named_parameters()}
    args, kwargs = call
    # Only the tokens are replaced (wherever they are given); masks and position tables keep their values.
    tokens = args[0] if args else None
    if isinstance(tokens, Tensor) and tokens.is_floating_point():
        random = _random(tokens).requires_grad_()
        args = tuple(random if value is tokens else value for value in args)
    module(*map(_double, args), **{key: _double(value) for key, value in kwargs.items()})
    # Linear layers that the module never calls (BEiT's qkv) are functions of their weights.
    called = [module.get_submodule(name) for name in (*outputs, projection)]
    of_linear = {id(parameter) for layer in called for parameter in layer.parameters()}
    return outputs, {name: each for name, each in tensors.items() if id(each) not in of_linear}, merged[0]


def _random(like: Tensor) -> Tensor:
    """Float64 numbers that are always the same, so that nobody's random numbers change."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.device)


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _partition(by_head: Tensor) -> Tensor | None:
    """Owner of each position if every position serves exactly one head and all heads own equally many.

    Args:
        by_head: (heads, positions) bool.
    """
    if not bool((by_head.sum(0) == 1).all()):
        return None
    counts = by_head.sum(1)
    return by_head.int().argmax(0).cpu() if bool((counts == counts[0]).all()) and counts[0] > 0 else None


def _slice_(module: nn.Module, name: str, dim: int, index: Tensor) -> None:
    parent_name, _, leaf = name.rpartition(".")
    parent = module.get_submodule(parent_name)
    old: Tensor = getattr(parent, leaf)
    new = old.detach().index_select(dim, index.to(old.device)).clone()
    is_parameter = isinstance(old, nn.Parameter)
    setattr(parent, leaf, nn.Parameter(new, requires_grad=old.requires_grad) if is_parameter else new)
    if isinstance(parent, nn.Linear) and leaf == "weight":
        parent.out_features, parent.in_features = new.shape


def _set_sizes_(module: nn.Module, layer: UnitLayer, heads: int) -> None:
    for attribute in _HEAD_COUNTS:
        if getattr(module, attribute, None) == layer.units:
            setattr(module, attribute, heads)
    for attribute in _WIDTHS:
        if getattr(module, attribute, None) == layer.units * layer.width:
            setattr(module, attribute, heads * layer.width)


def _check_forward(module: nn.Module, layer: UnitLayer, call: Call) -> None:
    try:
        module(*call[0], **call[1])
    except FORWARD_ERRORS as error:
        raise XaipruneError(
            f"{layer.name} ({type(module).__name__}) computes with its original number of heads; "
            "they can only be masked"
        ) from error
