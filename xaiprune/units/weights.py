"""Linear layers, however they store their weight."""

from torch import Tensor, nn


def is_transposed(module: nn.Module | None) -> bool:
    """Whether a linear layer stores its weight as (in, out): transformers' ``Conv1D``, of GPT-2."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf") and hasattr(module, "weight")


def is_linear(module: nn.Module | None) -> bool:
    """Whether a module is a linear layer."""
    return isinstance(module, nn.Linear) or is_transposed(module)


def weight_of(module: nn.Module) -> Tensor:
    """The weight of a linear layer or convolution, a view of shape (out, in, ...)."""
    weight: Tensor = module.weight  # type: ignore[assignment]
    return weight.T if is_transposed(module) else weight


def weight_dim(module: nn.Module, dim: int) -> int:
    """Where the weight of a layer has its outputs (``dim`` 0) or its inputs (1) as it is stored."""
    return 1 - dim if is_transposed(module) else dim
