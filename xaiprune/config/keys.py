"""The keys that a task's schema knows, as people type them (``prune.rate``)."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep

from xaiprune.config.tasks import TASKS

# Below these, any key may stand: they are handed to timm, Optuna and the search space as they are.
OPEN = ("model.kwargs", "space", "sampler", "pruner")


def valid_keys(task: str) -> tuple[str, ...]:
    """Every key of the task, sections included, in the order of the schema."""
    return tuple(_walk(TASKS[task].schema()))


def is_open(key: str) -> bool:
    """Whether the key lies below one that takes any keys."""
    return any(key.startswith(f"{prefix}.") for prefix in OPEN)


def takes_new_keys(key: str, value: object) -> bool:
    """Whether ``key=value`` may bring keys that no schema has: ``model.kwargs.a=1``, ``model.kwargs={a: 1}``.

    Args:
        key: As typed.
        value: As Hydra's parser reads it; a sweep counts as what it sweeps over.
    """
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    return is_open(key) or (key in OPEN and any(isinstance(single, dict) for single in values))


def _walk(node: Any, prefix: str = "") -> Iterator[str]:
    for item in fields(node):
        key = f"{prefix}{item.name}"
        yield key
        value = getattr(node, item.name)
        if is_dataclass(value):
            yield from _walk(value, f"{key}.")
