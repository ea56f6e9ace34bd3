"""The same composite for zennit, where it is installed (a reference, never a runtime dependency)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from xaiprune.attribute.lrp.composite import Composite
from xaiprune.attribute.lrp.recording import trace_layers
from xaiprune.attribute.lrp.rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, WSquare, ZBox, ZPlus
from xaiprune.errors import XaipruneError


def to_zennit(composite: Composite, model: nn.Module, canonizers: Sequence[Any] = ()) -> Any:
    """A ``zennit.composites.NameLayerMapComposite`` that gives every layer of a model the same rule.

    Args:
        composite: Rules for linear layers and convolutions. Zennit has no treatment of attention and
            LayerNorm, so a network with those is refused.
        model: Names the layers; in eval mode.
        canonizers: Zennit's, for the model's BatchNorm and residual sums.

    Raises:
        XaipruneError: Zennit is not installed, or cannot express the composite on this model.
    """
    try:
        from zennit import rules as z
        from zennit.composites import NameLayerMapComposite
        from zennit.layer import Sum
        from zennit.types import Activation, AvgPool, BatchNorm
    except ImportError:
        raise XaipruneError("zennit is not installed; pip install zennit") from None

    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm | nn.MultiheadAttention | nn.GELU | nn.SiLU):
            raise XaipruneError(f"module {name}: zennit has no rule for {type(module).__name__}")

    def convert(rule: Rule) -> Any:
        zero = "bias" if getattr(rule, "bias", "absorb") == "exclude" else None
        match rule:
            case Epsilon():
                return z.Epsilon(epsilon=rule.epsilon, zero_params=zero)
            case Gamma():
                return z.Gamma(gamma=rule.gamma, stabilizer=rule.stabilizer, zero_params=zero)
            case ZPlus():
                return z.ZPlus(stabilizer=rule.stabilizer, zero_params=zero)
            case AlphaBeta():
                return z.AlphaBeta(rule.alpha, rule.beta, stabilizer=rule.stabilizer, zero_params=zero)
            case Flat():
                return z.Flat()
            case WSquare():
                return z.WSquare(stabilizer=rule.stabilizer)
            case ZBox():
                return z.ZBox(rule.low, rule.high, stabilizer=rule.stabilizer)
        raise XaipruneError(f"rule {rule.name} has no counterpart in zennit")

    rules = composite.resolve(trace_layers(model))
    return NameLayerMapComposite(
        name_map=[([name], convert(rule)) for name, rule in rules.items()],
        layer_map=[(Activation, z.Pass()), (BatchNorm, z.Pass()), (AvgPool, z.Norm()), (Sum, z.Norm())],
        canonizers=list(canonizers),
    )
