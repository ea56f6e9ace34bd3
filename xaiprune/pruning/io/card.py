"""The card beside a pruned network, as model hubs have it: what it is, its numbers, how to open it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from xaiprune.config import HUGGING_FACE
from xaiprune.models import Origin
from xaiprune.pruning.plan import Plan

# The ending of a class in transformers -> what hubs call what it does.
_TEXT_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForConditionalGeneration": "text2text-generation",
}


def card(
    name: str,
    content: Mapping[str, Any],
    plan: Plan,
    notes: Sequence[str] = (),
    *,
    origin: Origin,
    library: str,
) -> str:
    """Markdown text of the card, below the YAML that hubs read.

    Args:
        name: The folder's name.
        content: What ``plan.json`` holds.
        plan: The plan that was applied.
        notes: Further paragraphs.
        origin: Of the dense network's weights.
        library: That opens the folder: ``xaiprune``, or ``transformers`` alone.
    """
    lines = [
        "---",
        yaml.safe_dump(_metadata(content, origin, library), sort_keys=False).rstrip(),
        "---",
        "",
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
    if origin.command is not None:
        lines += ["Made by:", "", "```bash", origin.command, "```", ""]
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


def _metadata(content: Mapping[str, Any], origin: Origin, library: str) -> dict[str, Any]:
    architecture, of_text = content["architecture"], content["architecture"] == HUGGING_FACE
    task = "image-classification"
    if of_text:
        name = str(content["kwargs"]["class"])
        task = next((t for ending, t in _TEXT_TASKS.items() if name.endswith(ending)), "text-generation")
    return {
        "license": origin.license,
        "library_name": library,
        "pipeline_tag": task,
        **({} if origin.base_model is None else {"base_model": origin.base_model}),
        "tags": ["pruned", "xaiprune", content["kwargs"]["class"] if of_text else architecture],
    }
