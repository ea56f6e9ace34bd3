"""Activations that libraries write out with arithmetic, as transformers does GELU with a power and a tanh.

Operation by operation, ``0.5 * x * (1 + tanh(...))`` is a product of two factors that depend on the image,
and half of the relevance would go through the tanh. It is one elementwise function, though, and passes
relevance as the others do: unchanged (Achtibat et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_LIBRARIES = ("transformers.activations", "timm.layers.activations")


@dataclass(frozen=True)
class WrittenOut:
    """An elementwise function with f(0) = 0.

    Attributes:
        function: Of a tensor; changes nothing in place.
        slope_at_zero: The limit of f(x)/x at 0.
    """

    function: Callable[[Tensor], Tensor]
    slope_at_zero: float


def written_out(model: nn.Module) -> dict[str, WrittenOut]:
    """The network's activations that are modules of these libraries, by qualified name.

    Those with parameters, those that work in place and gates, which do not vanish at 0, are not among them.
    """
    found = {}
    for name, module in model.named_modules():
        simple = next(module.parameters(), None) is None and not getattr(module, "inplace", False)
        if simple and type(module).__module__ in _LIBRARIES:
            with torch.inference_mode(False), torch.enable_grad():
                zero = torch.zeros(1, requires_grad=True)
                at_zero = module.forward(zero)
                (slope,) = torch.autograd.grad(at_zero, zero)
            if float(at_zero.detach()) == 0:
                found[name] = WrittenOut(module.forward, float(slope))
    return found
