"""Where a network's weights come from, as far as that is known: for the cards of networks made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import timm

from xaiprune.config import HUGGING_FACE, ModelConfig
from xaiprune.models.digits import TRAINING_RECIPES

UNKNOWN = "unknown"
"""What model hubs call a licence that nobody has stated."""


@dataclass(frozen=True)
class Origin:
    """What a card says of the weights.

    Attributes:
        license: As model hubs spell it (``apache-2.0``).
        base_model: The dense network's name on a model hub; None: it has none, or that is not known.
        command: What was typed; None: it was called from Python.
    """

    license: str = UNKNOWN
    base_model: str | None = None
    command: str | None = None


def origin_of(config: ModelConfig, command: str | None = None) -> Origin:
    """The origin of the weights that the ``model`` section opens; of somebody's own files nothing is known.

    Args:
        config: The section.
        command: What was typed.
    """
    if config.pruned is not None or config.checkpoint is not None or config.pretrained is False:
        return Origin(command=command)
    if config.name == HUGGING_FACE:
        known = config.path is not None and not Path(config.path).expanduser().exists()
        return Origin(base_model=config.path if known else None, command=command)
    if config.name in TRAINING_RECIPES:  # trained on this machine, on scikit-learn's digits
        return Origin("apache-2.0", command=command)
    found = timm.get_pretrained_cfg(config.name, allow_unregistered=True)
    if found is None:
        return Origin(command=command)
    return Origin(found.license or UNKNOWN, found.hf_hub_id or None, command)
