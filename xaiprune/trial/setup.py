"""What a search is of: a session, the space to search, and what a trial's value is."""

from __future__ import annotations

from dataclasses import dataclass

from xaiprune.config import Config
from xaiprune.evaluation import Accuracy, Precision
from xaiprune.session import PruningSession
from xaiprune.space import Space
from xaiprune.trial.objective import Objective


@dataclass(frozen=True, repr=False)
class SearchSetup:
    """Shared by all trials of a search.

    Attributes:
        config: What was asked for.
        session: Network, images, units and caches.
        space: As reduced to this network.
        objective: What a trial's value is.
    """

    config: Config
    session: PruningSession
    space: Space
    objective: Objective

    @property
    def precision(self) -> Precision:
        """Of the networks that trials classify with."""
        return "bfloat16" if self.config.objective.precision == "bfloat16" else "float32"

    @property
    def dense(self) -> Accuracy:
        """Top-1 of the dense network on the validation images, as trials measure it."""
        return self.session.dense_accuracy(self.precision)

    def __repr__(self) -> str:
        return f"SearchSetup({self.objective.name}, {self.session})"
