"""The one interface of all baseline criteria, and their names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.units.layer import UnitLayer

Scores = dict[str, Tensor]
"""Unit layer name -> (units,) float64 on the CPU; higher means more important."""


class SelectsLogits(Protocol):
    """Anything that picks the logits of the task's classes (a `data.Task`)."""

    def select(self, logits: Tensor) -> Tensor:
        """(N, outputs) -> (N, classes)."""


class Criterion(Protocol):
    """What every baseline is called with; one that needs less than this ignores the rest."""

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        units: Sequence[UnitLayer],
        task: SelectsLogits | None = None,
        *,
        seed: int = 0,
        batch_size: int = 32,
    ) -> Scores:
        """Score every unit.

        Args:
            model: The network; left as it is found (weights, mode, hooks, gradients).
            images: (N, 3, H, W) float, normalised.
            labels: (N,) int64, indices into the task's classes.
            units: The unit layers to score.
            task: Picks the task's logits; None takes the network's outputs as the classes.
            seed: Of the random criterion.
            batch_size: Images per forward; changes memory and speed, not the scores.
        """


CRITERIA: dict[str, Criterion] = {}

_Function = TypeVar("_Function", bound=Callable[..., Scores])


def register(name: str) -> Callable[[_Function], _Function]:
    """Make a function available as the criterion ``name``, for comparisons and `criterion`.

    The function is called as `Criterion` says. A name that is there already is replaced, so that a notebook's
    cell can run again.

    Raises:
        XaipruneError: The name is that of a criterion that xaiprune brings along.

    Example:
        >>> @register("reversed")
        ... def reversed_taylor(model, images, labels, units, task=None, *, seed=0, batch_size=32):
        ...     scores = criterion("taylor")(model, images, labels, units, task, batch_size=batch_size)
        ...     return {layer: -values for layer, values in scores.items()}
    """

    def add(function: _Function) -> _Function:
        known = getattr(CRITERIA.get(name), "__module__", "")
        if known.startswith(f"{__package__}.") and function.__module__ != known:
            raise XaipruneError(f"criterion '{name}' is taken; register yours under another name")
        CRITERIA[name] = function
        return function

    return add


def criterion(name: str) -> Criterion:
    """A baseline criterion by name, e.g. ``criterion("taylor")``.

    Raises:
        XaipruneError: There is no criterion of that name.
    """
    if name not in CRITERIA:
        close = difflib.get_close_matches(name, CRITERIA, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise XaipruneError(f"criterion '{name}' is unknown, choose from {', '.join(CRITERIA)}{hint}")
    return CRITERIA[name]
