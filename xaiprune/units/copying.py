"""Copies of networks, and gradients that leave nothing behind in them."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    for module, mode in zip(list(new.modules()), modes, strict=True):
        module.training = mode
        for name, bake in computed_tensors(module).items():
            bake(module, name)
    return new


def computed_tensors(module: nn.Module) -> dict[str, Callable[[nn.Module, str], object]]:
    """What PyTorch computes for each call of a module: tensor's name -> what makes a parameter of it.

    These are parametrizations, ``torch.nn.utils.prune``, and the former ``weight_norm`` and
    ``spectral_norm``.
    """
    found: dict[str, Callable[[nn.Module, str], object]] = {}
    if parametrize.is_parametrized(module):
        found |= dict.fromkeys(module.parametrizations, parametrize.remove_parametrizations)  # type: ignore[arg-type]
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, prune.BasePruningMethod):
            found[hook._tensor_name] = prune.remove
        elif isinstance(hook, WeightNorm):
            found[hook.name] = remove_weight_norm
        elif isinstance(hook, SpectralNorm):
            found[hook.name] = remove_spectral_norm
    return found


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter takes part in gradients while the block lasts, so that nothing a network caches has
    any."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
