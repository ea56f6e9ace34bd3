"""The same composite for zennit: as its object where it is installed, or as code that builds it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.lrp.engine.recording import trace_layers
from xaiprune.attribution.lrp.rules import Rule
from xaiprune.errors import XaipruneError

# Zennit's pooling and sums divide by a stabilized output, ours by the output.
_STABILIZER = 1e-30
_NO_RULE = (nn.LayerNorm, nn.GroupNorm, nn.MultiheadAttention, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid)

_CODE = '''\
"""{title}, for zennit.

    from zennit.attribution import Gradient

    with Gradient(model, composite(canonizers=[...])) as attributor:
        _, relevance = attributor(images, lambda logits: logits.detach() * onehot)

{provenance}\
Canonizers are for what lies between the layers below. A BatchNorm must be folded into its convolution
(zennit.canonizers.SequentialMergeBatchNorm) and a residual sum be a zennit.layer.Sum. torchvision's networks
have both by zennit.torchvision.ResNetCanonizer and VGGCanonizer, others need one of their own. Zennit folds
without BatchNorm's eps, so that its relevance differs from xaiprune's by about eps / variance.
"""

from zennit.composites import NameLayerMapComposite
from zennit.layer import Sum
from zennit.rules import {imports}
from zennit.types import Activation, AvgPool, BatchNorm


def composite(canonizers=()):
    """The composite; the names are those of the network that it was written for."""
    return NameLayerMapComposite(
        name_map=[
{names}
        ],
        layer_map=[
            (Activation, Pass()),
            (BatchNorm, Pass()),
            (AvgPool, Norm(stabilizer={stabilizer!r})),
            (Sum, Norm(stabilizer={stabilizer!r})),
        ],
        canonizers=list(canonizers),
    )
'''


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

    names = [
        (layers, getattr(z, rule)(**arguments)) for layers, rule, arguments in _counterparts(composite, model)
    ]
    norm = z.Norm(stabilizer=_STABILIZER)
    return NameLayerMapComposite(
        name_map=names,
        layer_map=[(Activation, z.Pass()), (BatchNorm, z.Pass()), (AvgPool, norm), (Sum, norm)],
        canonizers=list(canonizers),
    )


def zennit_code(composite: Composite, model: nn.Module, notes: Mapping[str, object] | None = None) -> str:
    """Python code that needs only zennit: its ``composite(canonizers=())`` builds what `to_zennit` does.

    Args:
        composite: As for `to_zennit`.
        model: Names the layers; in eval mode.
        notes: Name -> value, for the docstring: where the composite comes from.

    Raises:
        XaipruneError: Zennit cannot express the composite on this model.
    """
    found = _counterparts(composite, model)
    lines = []
    for layers, rule, arguments in found:
        lines += ["            (", "                ["]
        lines += [f"                    {json.dumps(layer)}," for layer in layers]
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        lines += ["                ],", f"                {rule}({given}),", "            ),"]
    noted = [f"{key}: {value}\n" for key, value in (notes or {}).items()]
    text = "".join([*noted, "\n"] if noted else [])
    return _CODE.format(
        title=_plain(composite.name or "composite"),
        provenance=_plain(text),
        imports=", ".join(sorted({"Norm", "Pass", *(rule for _, rule, _ in found)})),
        names="\n".join(lines),
        stabilizer=_STABILIZER,
    )


def _plain(text: str) -> str:
    """Text that cannot end a docstring."""
    return text.replace("\\", "\\\\").replace('"""', "'" * 3)


def _counterparts(composite: Composite, model: nn.Module) -> list[tuple[list[str], str, dict[str, Any]]]:
    """Layers, and zennit's name and arguments of the rule they share, in the order of their first layer."""
    for name, module in model.named_modules():
        if isinstance(module, _NO_RULE):
            raise XaipruneError(
                f"module {name}: zennit has no rule for {type(module).__name__}, so the composite cannot be "
                "written for it"
            )
    by_rule: dict[Rule, list[str]] = {}
    for layer, rule in composite.resolve(trace_layers(model)).items():
        by_rule.setdefault(rule, []).append(layer)
    return [(layers, *rule.zennit()) for rule, layers in by_rule.items()]
