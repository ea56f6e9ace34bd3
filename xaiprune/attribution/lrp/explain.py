"""Which layer got which rule, for people."""

from __future__ import annotations

from collections.abc import Sequence

from xaiprune.attribution.lrp.composite import Composite, LayerInfo


def explanation(composite: Composite, layers: Sequence[LayerInfo]) -> str:
    """A table of layers, their depth group, the entry that matched and the rule it gives.

    Raises:
        XaipruneError: A name pattern of the composite matches no layer.
    """
    rules = composite.resolve(layers)
    rows = [("layer", "type", "group", "matched by", "rule")]
    for layer in layers:
        entry = composite.entry_for(layer)
        matched = "default" if entry is None else str(entry[0])
        rows.append((layer.name, layer.type, composite.group_of(layer), matched, str(rules[layer.name])))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    unmatched = [layer.name for layer in layers if composite.entry_for(layer) is None]
    treatment = (
        f"softmax {composite.softmax}, activation {composite.activation}, "
        f"norm {composite.norm}, product {composite.product}"
    )
    lines += ["", f"between layers: {treatment}"]
    if composite.layers:
        lines.append(f"matched by no entry (default rule): {', '.join(unmatched) or 'none'}")
    return "\n".join(lines)


def _columns(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
