"""Renamed keys (stub until merged)."""

from collections.abc import Mapping
from typing import Any

RENAMED = {"prune.floor": "prune.min_units", "prune.steps": "prune.rounds"}


def current_names(section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED.get(f"{section}.{k}", f"{section}.{k}").split(".", 1)[1]: v for k, v in settings.items()}


def former_names(section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    old = {new: was for was, new in RENAMED.items()}
    return {old.get(f"{section}.{k}", f"{section}.{k}").split(".", 1)[1]: v for k, v in settings.items()}
