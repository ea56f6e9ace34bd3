"""What a search leaves to the configuration: a dimension of its space that the ``prune`` section sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xaiprune.config.schema import PruneConfig
from xaiprune.errors import XaipruneError


def set_by_prune(space: Mapping[str, Any], prune: PruneConfig, typed: Sequence[str] = ()) -> list[str]:
    """The dimensions of a space that must not be searched, because the ``prune`` section says what they are.

    Args:
        space: As plain data.
        prune: A setting counts if it was typed, or is another one than the default.
        typed: Keys that were typed. Where both ``space.order`` and ``prune.order`` are, the order is
            searched, and ``prune.order`` is what presets are tried with.

    Raises:
        XaipruneError: Both were typed, and the space does not contain what ``prune`` says.
    """
    found, plain = [], PruneConfig()
    for name, choices in space.items():
        # A rate that is searched has an objective that asks for it (a cost, constraints).
        if name == "rate" or choices is None or not hasattr(plain, name):
            continue
        value = getattr(prune, name)
        if value == getattr(plain, name) and f"prune.{name}" not in typed:
            continue
        if f"space.{name}" not in typed:
            found.append(name)
        elif value not in (choices if isinstance(choices, list) else [choices]):
            raise XaipruneError(
                f"prune.{name}={value} is not among space.{name}={choices}; leave one of them out"
            )
    return found
