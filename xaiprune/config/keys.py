"""The keys of a task's schema, as people type them (``prune.rate``)."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep

from xaiprune.config.tasks import TASKS

# Sections that take any keys: they are handed to timm, Optuna and the search space as they are.
OPEN_SECTIONS = ("model.kwargs", "attribution.scale", "space", "sampler", "pruner")


def valid_keys(task: str) -> tuple[str, ...]:
    """Every key of the task, sections included, in the order of the schema."""
    return tuple(_walk(TASKS[task].schema()))


def is_open(key: str) -> bool:
    """Whether the key is in a section that takes any keys."""
    return any(key.startswith(f"{prefix}.") for prefix in OPEN_SECTIONS)


def adds_keys(key: str, value: object) -> bool:
    """Whether ``key=value`` may add keys that no schema has: ``model.kwargs.a=1``, ``sampler={a: 1}``.

    Args:
        key: As typed.
        value: As Hydra's parser reads it; for a sweep, each of its values counts.
    """
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    return any(is_open(path) for single in values for path in keys_set(key, single))


def keys_set(key: str, value: object) -> Iterator[str]:
    """The keys that ``key=value`` sets: itself, or those in the dictionary that the value is.

    Args:
        key: As typed.
        value: As Hydra's parser reads it.
    """
    if not isinstance(value, dict):
        yield key
        return
    for name, inner in value.items():
        yield from keys_set(f"{key}.{name}", inner)


def _walk(node: Any, prefix: str = "") -> Iterator[str]:
    for item in fields(node):
        key = f"{prefix}{item.name}"
        yield key
        value = getattr(node, item.name)
        if is_dataclass(value):
            yield from _walk(value, f"{key}.")
