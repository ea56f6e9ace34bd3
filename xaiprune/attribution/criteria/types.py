"""The one interface of all baseline criteria."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from xaiprune.attribution.targets import Labels
from xaiprune.forward import Inputs
from xaiprune.units.layer import UnitLayer

Scores = dict[str, Tensor]
"""Unit layer name -> (units,) float64 on the CPU; higher means more important."""


class SelectsLogits(Protocol):
    """Anything that picks the logits of the task's classes (a `data.Task`)."""

    def select(self, logits: Tensor) -> Tensor:
        """(N, outputs) -> (N, classes)."""


class Criterion(Protocol):
    """A function that scores units, registered by `register_criterion`; it may ignore what it does not need.

    Example:
        >>> @register_criterion("reversed")
        ... def reversed_taylor(model, images, labels, units, task=None, *, seed=0, batch_size=32):
        ...     scores = criterion("taylor")(model, images, labels, units, task, batch_size=batch_size)
        ...     return {layer: -values for layer, values in scores.items()}
    """

    def __call__(
        self,
        model: nn.Module,
        images: Inputs,
        labels: Labels,
        units: Sequence[UnitLayer],
        task: SelectsLogits | None = None,
        *,
        seed: int = 0,
        batch_size: int = 32,
    ) -> Scores:
        """Score every unit.

        Args:
            model: The network; left as it is found (weights, mode, hooks, gradients).
            images: (N, 3, H, W) float, normalised; or text, as ids (N, T) or a dict.
            labels: (N,) int64, indices into the task's classes; of a language model (N, T), -100 for none.
            units: The unit layers to score.
            task: Picks the task's logits; None takes the network's outputs as the classes.
            seed: For criteria that draw random numbers.
            batch_size: Images per forward; changes memory and speed, not the scores.
        """
