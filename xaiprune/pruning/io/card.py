"""The card beside a pruned network: what it is, its numbers, how to open it."""

from collections.abc import Mapping, Sequence
from typing import Any

from xaiprune.pruning.plan import Plan


def card(name: str, content: Mapping[str, Any], plan: Plan, notes: Sequence[str] = ()) -> str:
    """Markdown text of the card.

    Args:
        name: The folder's name.
        content: What ``plan.json`` holds.
        plan: The plan that was applied.
        notes: Further paragraphs.
    """
    lines = [
        f"# {name}",
        "",
        f"`{content['architecture']}` with {plan.n_removed} of {plan.n_units} {plan.kind} removed "
        f"(rate {plan.rate:g} of {plan.budget}, {plan.scope} ranking, "
        f"at least {plan.min_units} kept per layer"
        f"{f', in multiples of {plan.multiple} channels' if plan.multiple > 1 else ''}).",
        "",
    ]
    if content["numbers"]:
        lines += ["| | |", "|---|---|"]
        lines += [f"| {key} | {value} |" for key, value in content["numbers"].items()]
        lines.append("")
    for note in notes:
        lines += [note, ""]
    lines += [
        "Open it:",
        "",
        "```python",
        "import xaiprune as xp",
        "",
        f'model = xp.load_pruned("{name}")',
        "```",
        "",
        "Kept units of each layer:",
        "",
        "```",
        plan.summary(),
        "```",
        "",
    ]
    return "\n".join(lines)
