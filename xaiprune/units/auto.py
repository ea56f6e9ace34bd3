"""The unit kind of a network that nobody has named one for."""

from __future__ import annotations

from torch import nn

from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs
from xaiprune.registry import UNIT_KINDS
from xaiprune.units.costs import unit_costs
from xaiprune.units.flow import Flow, default_example, trace

AUTO = "auto"
# Those whose removal makes the network smaller, and that take whole networks apart.
_CANDIDATES = ("neurons", "inner_filters")


def auto_kind(model: nn.Module, example: Inputs | None = None) -> str:
    """``neurons`` or ``inner_filters``: whichever has more of the network's parameters in its units.

    Args:
        model: Any classifier whose forward is made of PyTorch functions. Nothing of it changes.
        example: One input (1, 3, H, W); zeros of the network's default size if None.

    Raises:
        XaipruneError: The network has neither; names the kinds that it has.

    Example:
        >>> import timm
        >>> auto_kind(timm.create_model("resnet18").eval())
        'inner_filters'
    """
    example = default_example(model) if example is None else example
    flow = trace(model, example)
    found = {kind: layers for kind in _CANDIDATES if (layers := UNIT_KINDS.find(kind)(flow))}
    if not found:
        raise XaipruneError(
            f"{type(model).__name__} has neither {' nor '.join(_CANDIDATES)}, so that units=auto finds "
            f"nothing; {alternatives(flow)}"
        )
    if len(found) == 1:
        return next(iter(found))

    def parameters(kind: str) -> float:
        costs = unit_costs(model, found[kind], "params", example)
        return sum(float(each.sum()) for each in costs.values())

    return max(found, key=parameters)


def alternatives(flow: Flow) -> str:
    """The unit kinds that a network has, for errors."""
    have = [kind for kind, find in UNIT_KINDS.items() if "+" not in kind and find(flow)]
    return f"it has {', '.join(have)} (units=...)" if have else "and no units of another registered kind"
