"""What a model hub wants beside a pruned network's files: configuration, recipe, and the card as README."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xaiprune.config import HUGGING_FACE, Config, is_language
from xaiprune.models import preprocess
from xaiprune.pruning import architecture_of
from xaiprune.session import PruningSession

README, CONFIG, RECIPE = "README.md", "config.json", "recipe.yaml"


def for_hub(config: Config, session: PruningSession, recipe: Path) -> dict[str, Any]:
    """How `save_pruned` writes a folder that a hub takes as it is.

    Args:
        config: Says which network it is, and what its images are prepared with.
        session: Of the network.
        recipe: The file of the recipe that it was pruned by.
    """
    further = {RECIPE: recipe.read_text(encoding="utf-8")}
    if not (is_language(config.model) or _is_text(config)):  # transformers' networks have a configuration
        further[CONFIG] = json.dumps(image_config(config, session), indent=1) + "\n"
    return {"card_name": README, "further": further}


def image_config(config: Config, session: PruningSession) -> dict[str, Any]:
    """A network of images as timm describes one: architecture, classes, and how a picture is prepared."""
    model, task = config.model, session.task
    name = model.name if model.pruned is None else architecture_of(Path(model.pruned).expanduser())[0]
    wanted = preprocess(session.model).override(config.data)
    outputs = len(task.classes) if task.logits is None else getattr(session.model, "num_classes", None)
    return {
        "architecture": name,
        "num_classes": outputs,
        **({"label_names": list(task.classes)} if task.logits is None else {}),
        "pretrained_cfg": {
            "input_size": [wanted.channels, *wanted.size],
            "crop_pct": wanted.crop_pct,
            "crop_mode": wanted.crop_mode,
            **({} if wanted.resize is None else {"resize": wanted.resize}),
            "interpolation": wanted.interpolation,
            "mean": list(wanted.mean),
            "std": list(wanted.std),
            "num_classes": outputs,
        },
    }


def _is_text(config: Config) -> bool:
    model = config.model
    return model.pruned is not None and architecture_of(Path(model.pruned).expanduser())[0] == HUGGING_FACE
