"""Cuts positions out of a network's tensors, and finds out beforehand whether it still runs then."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.forward import evaluating, run
from xaiprune.tracing import running_modules
from xaiprune.units.copying import copied
from xaiprune.units.flow import Flow
from xaiprune.units.slices import Cuts, Slices
from xaiprune.units.weights import is_transposed, weight_of

# What forwards raise when sizes do not fit.
FORWARD_ERRORS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError)


@torch.no_grad()
def cut_(model: nn.Module, cuts: Cuts) -> None:
    """Cut positions out of parameters and buffers, and give their modules the new sizes, in place.

    Args:
        model: The network.
        cuts: What to cut.

    Raises:
        XaipruneError: If nothing of a tensor would be left.
    """
    touched: dict[str, nn.Module] = {}
    for (name, dim), positions in cuts.items():
        parent, _, leaf = name.rpartition(".")
        module = touched.setdefault(parent, model.get_submodule(parent))
        old: Tensor = getattr(module, leaf)
        keep = [position for position in range(old.shape[dim]) if position not in positions]
        if not keep:
            raise XaipruneError(f"the plan would leave nothing of {parent}; raise prune.min_units")
        new = old.detach().index_select(dim, torch.tensor(keep, device=old.device))
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, requires_grad=old.requires_grad)
        setattr(module, leaf, new)
    for module in touched.values():
        set_sizes_(module)


def set_sizes_(module: nn.Module) -> None:
    """The numbers that PyTorch's own layers keep beside their tensors."""
    weight = getattr(module, "weight", None)
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        if module.groups == module.out_channels:  # depthwise
            module.groups = len(module.weight)
        module.out_channels, module.in_channels = len(module.weight), module.weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif is_transposed(module):
        module.nf, module.nx = weight_of(module).shape  # type: ignore[assignment]
    elif isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
        module.num_features = len(module.running_mean)
    elif isinstance(module, nn.LayerNorm) and isinstance(weight, Tensor):
        module.normalized_shape = tuple(weight.shape)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)


def why_uncuttable(flow: Flow, slices: Mapping[str, Slices]) -> dict[str, str]:
    """Why no unit of a layer can be cut although its tensors are known; empty where units can be cut.

    Forwards may have sizes written into them (``x.split([16, 48])``), which no trace shows. So one unit of
    each layer is cut from a copy, which then runs; if it does not, the layers are tried in halves until it
    is known which of them are to blame. What was tried is noted in the flow.

    Args:
        flow: The traced forward.
        slices: Unit layer -> its tensors.
    """
    if new := [name for name in slices if name not in flow.uncuttable]:
        _try(flow, copied(flow.modules[""]), slices, new)
    return {name: flow.uncuttable[name] for name in slices}


def _try(flow: Flow, model: nn.Module, slices: Mapping[str, Slices], names: Sequence[str]) -> None:
    reason = _failure(flow, model, [slices[name] for name in names])
    if reason and len(names) > 1:
        _try(flow, model, slices, names[: len(names) // 2])
        _try(flow, model, slices, names[len(names) // 2 :])
    else:
        flow.uncuttable.update(dict.fromkeys(names, reason))


def _failure(flow: Flow, model: nn.Module, slices: Iterable[Slices]) -> str:
    """Why the forward fails without the first unit of each layer; empty if it does not."""
    running: Sequence[str] = ()
    try:
        with _restored(model):
            cut_(model, merged(each.cuts([0]) for each in slices))
            with evaluating(model), torch.no_grad(), running_modules(model) as running:
                run(model, flow.example)
    except Exception:  # whatever a forward may raise
        where = running[-1] if running and running[-1] else "the network"
        return f"{where} computes with its original number of channels"
    return ""


@contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    """Afterwards all modules have the attributes and tensors from before; a copy would take far longer."""
    before = [(module, dict(vars(module))) for module in model.modules()]
    for _, kept in before:
        kept |= {key: copy(value) for key, value in kept.items() if isinstance(value, dict | list)}
    try:
        yield
    finally:
        for module, kept in before:
            vars(module).clear()
            vars(module).update(kept)


def merged(cuts: Iterable[Cuts]) -> Cuts:
    """All of these cuts together."""
    found: Cuts = {}
    for each in cuts:
        for key, positions in each.items():
            found.setdefault(key, set()).update(positions)
    return found
