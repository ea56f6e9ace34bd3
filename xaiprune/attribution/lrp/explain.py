"""Which layer gets which rule, for people."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from xaiprune.attribution.lrp.composite import Composite, LayerInfo
from xaiprune.attribution.lrp.engine.recording import trace_layers
from xaiprune.forward import Inputs


def explain(composite: Composite, model: nn.Module, example: Inputs | None = None) -> str:
    """Which layer of a model gets which rule, and which no entry matches, as a table.

    Args:
        composite: Which layer gets which rule.
        model: In eval mode.
        example: One image, (1, 3, H, W), or text; zeros of the model's input size by default.

    Raises:
        XaipruneError: A name pattern of the composite matches no layer.
    """
    return explanation(composite, trace_layers(model, example))


def explanation(composite: Composite, layers: Sequence[LayerInfo]) -> str:
    """The table that `explain` gives, for layers that are known already."""
    rules = composite.resolve(layers)
    rows = [("layer", "type", "group", "matched by", "rule")]
    unmatched = []
    for layer in layers:
        entry = composite.entry_for(layer)
        if entry is None:
            unmatched.append(layer.name)
        matched = "default" if entry is None else str(entry[0])
        rows.append((layer.name, layer.type, composite.group_of(layer), matched, str(rules[layer.name])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines += [
        "",
        f"between layers: softmax {composite.softmax}, activation {composite.activation}, "
        f"norm {composite.norm}, product {composite.product}",
    ]
    if composite.layers:
        lines.append(f"matched by no entry (default rule): {', '.join(unmatched) or 'none'}")
    return "\n".join(lines)
