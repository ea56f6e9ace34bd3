"""Copies of networks."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm
from torch.utils._pytree import tree_leaves


def copied(model: nn.Module) -> nn.Module:
    """A copy of a network, with plain weights, that computes nothing from the original's caches.

    Weights that are computed for each call (`computed_tensors`) are baked in; they could not be changed.

    Networks such as TinyViT and LeViT keep what they computed in eval mode. Where that has gradients,
    Python's own deep copy fails; and once heads are cut, it would be of the wrong size. By the convention
    of these networks, a cache is dropped on the way to training mode.

    Args:
        model: Unchanged; the copy has its modes.
    """
    memo: dict[int, object] = {}
    for module in model.modules():
        for leaf in tree_leaves(module.__dict__):
            if isinstance(leaf, Tensor) and not leaf.is_leaf:
                memo[id(leaf)] = leaf.detach().clone()
    new = copy.deepcopy(model, memo)
    modes = [module.training for module in model.modules()]
    new.train()
    modules = list(new.modules())
    for module, mode in zip(modules, modes, strict=True):
        module.training = mode
    for module in modules:
        _bake_(module)
    return new


def computed_tensors(module: nn.Module) -> set[str]:
    """Names of the tensors that PyTorch computes for each call of a module.

    These are parametrizations, ``torch.nn.utils.prune``, and the former ``weight_norm`` and
    ``spectral_norm``.
    """
    parametrized = set(module.parametrizations) if parametrize.is_parametrized(module) else set()  # type: ignore[arg-type]
    return parametrized | set(_hooked(module))


def _hooked(module: nn.Module) -> dict[str, Callable[[nn.Module, str], object]]:
    """The tensors that hooks compute, and what makes a plain parameter of each."""
    found: dict[str, Callable[[nn.Module, str], object]] = {}
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, prune.BasePruningMethod):
            found[hook._tensor_name] = prune.remove
        elif isinstance(hook, WeightNorm):
            found[hook.name] = remove_weight_norm
        elif isinstance(hook, SpectralNorm):
            found[hook.name] = remove_spectral_norm
    return found


@torch.no_grad()
def _bake_(module: nn.Module) -> None:
    """Make plain parameters of a copied module's computed tensors."""
    for name, bake in _hooked(module).items():
        bake(module, name)
    if parametrize.is_parametrized(module):
        values = {name: getattr(module, name).clone() for name in computed_tensors(module)}
        # torch's remove_parametrizations changes the class, which the original has, too.
        module.__class__ = parametrize.type_before_parametrizations(module)
        del module.parametrizations
        for name, value in values.items():
            module.register_parameter(name, nn.Parameter(value))
