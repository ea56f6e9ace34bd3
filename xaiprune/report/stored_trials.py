"""A study's trials as columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import Any, Self

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState


@dataclass(frozen=True)
class StoredTrials:
    """Every trial of a study, by column; all columns have one entry a trial, in the order of their numbers.

    Attributes:
        numbers: (trials,) rising.
        states: State of each trial.
        started: UTC; None before it has started.
        ended: UTC; None before it has ended.
        values: (trials, objectives), NaN where there is none.
        params: Parameter -> (trials,) what the sampler saw (of a categorical one the position of the choice),
            NaN where a trial did not have it. In the order in which they first appear.
        distributions: Parameter -> what it was drawn from, in the first trial that had it.
        attrs: User attribute -> {position of the trial: its value}, for the attributes that were asked for.
        excess: (trials,) by how much the worst constraint is missed; NaN where there is none.
    """

    numbers: np.ndarray
    states: Sequence[TrialState]
    started: Sequence[datetime | None]
    ended: Sequence[datetime | None]
    values: np.ndarray
    params: dict[str, np.ndarray]
    distributions: dict[str, BaseDistribution]
    attrs: dict[str, dict[int, Any]]
    excess: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def without_results(
        cls,
        numbers: Sequence[int],
        states: Sequence[TrialState],
        started: Sequence[datetime | None],
        ended: Sequence[datetime | None],
        objectives: int,
        attrs: Iterable[str],
    ) -> Self:
        """Trials whose other columns are to be filled.

        Args:
            numbers: Rising.
            states: As many.
            started: UTC.
            ended: UTC.
            objectives: Values of a trial.
            attrs: User attributes that will be filled in.
        """
        count = len(numbers)
        return cls(
            np.array(numbers, dtype=np.int64),
            states,
            started,
            ended,
            values=np.full((count, objectives), np.nan),
            params={},
            distributions={},
            attrs={key: {} for key in attrs},
            excess=np.full(count, np.nan),
        )

    def stopped(self, measure: str) -> dict[int, float]:
        """Position -> score of a trial that was stopped in a race, on the images it has seen.

        Empty where the attribute ``scores`` was not asked for.

        Args:
            measure: Name of the score: ``top1``, ``perplexity``.
        """
        scores = self.attrs.get("scores", {})
        places = [place for place in scores if self.states[place] is TrialState.PRUNED and scores[place]]
        return {place: fmean(score[measure] for score in scores[place]) for place in places}

    def set_param(self, place: int, name: str, value: float) -> None:
        """Fill in what the sampler saw of a parameter of one trial."""
        if name not in self.params:
            self.params[name] = np.full(len(self), np.nan)
        self.params[name][place] = value

    def add_constraint(self, place: int, excess: float) -> None:
        """Take in by how much a trial misses one of its constraints."""
        self.excess[place] = np.fmax(self.excess[place], excess)
