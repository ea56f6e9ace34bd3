"""Whether trials race, by the ``pruner`` section and by what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xaiprune.trial import SearchSetup

WHERE_POSSIBLE = "where_possible"  # of the section: elsewhere trials do not race, which is no error
NONE = {"_target_": "optuna.pruners.NopPruner"}


def races(settings: Mapping[str, Any]) -> bool:
    """Whether the ``pruner`` section asks for a race."""
    return _kind(settings) != "NopPruner"


def pruner_of(setup: SearchSetup) -> dict[str, Any]:
    """The ``pruner`` section for Optuna: what is asked for, or none where that is not possible."""
    settings = {key: value for key, value in setup.config.pruner.items() if key != WHERE_POSSIBLE}
    return NONE if _why_not(setup) else settings


def racing_text(setup: SearchSetup) -> str:
    """How trials race, or why they do not, in a few words."""
    if not races(setup.config.pruner):
        return "none"
    if reason := _why_not(setup):
        return f"none: {reason}"
    images = setup.session.validation
    return f"{_kind(setup.config.pruner)}, {images.chunk} of {len(images):,} validation images at a time"


def _why_not(setup: SearchSetup) -> str:
    """Why trials cannot race, where they need not; empty where they can."""
    settings, objective = setup.config.pruner, setup.objective
    if not settings.get(WHERE_POSSIBLE):
        return ""
    if objective.cost is not None:
        return f"objective.cost={objective.cost} makes two values"
    if not objective.can_race:
        return f"objective={objective.name} has no running value"
    if objective.constraints:
        return "a stopped trial says nothing about objective.constraints"
    # A pruner looks at the first chunks only to warm up.
    if -(-len(setup.session.validation) // setup.session.validation.chunk) <= settings.get(
        "n_startup_steps", 0
    ):
        return f"{len(setup.session.validation):,} validation images are too few"
    return ""


def _kind(settings: Mapping[str, Any]) -> str:
    return str(settings.get("_target_", "")).rpartition(".")[2]
