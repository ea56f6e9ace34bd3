"""Scores that a study's trials have measured, so that nothing is measured twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True)
class Score:
    """Top-1 of one pruned network on the validation images.

    Attributes:
        plan: Of what was removed, and how it was compensated (`PruningSession.plan_key`).
        correct: Images classified correctly in each chunk of validation images, in their order; fewer
            chunks than there are where a racing trial was stopped.
        trial: Number of the trial that measured it, the last one where several did.
        cost: Cost -> part of the dense network's, where the objective asks for it.
        loss: Of text, the loss of each chunk's tokens, in nats.
    """

    plan: str
    correct: tuple[int, ...]
    trial: int
    cost: Mapping[str, float] = field(default_factory=dict)
    loss: tuple[float, ...] = ()

    def part(self, start: int, stop: int) -> Score:
        """The same of some chunks alone."""
        return replace(self, correct=self.correct[start:stop], loss=self.loss[start:stop])

    @property
    def total(self) -> int:
        """Images classified correctly."""
        return sum(self.correct)


@dataclass
class ScoreCache:
    """Scores of a study's ended trials, by plan and by recipe.

    Attributes:
        plans: Plan key -> the score that has seen most images.
        recipes: Recipe key -> (rate, score) of a finished trial, in the order of measuring.
        explained: Recipe key -> faithfulness, and the trial that found it.
        seen: Numbers of the trials that have been added.
    """

    plans: dict[str, Score] = field(default_factory=dict)
    recipes: dict[str, tuple[tuple[float, Score], ...]] = field(default_factory=dict)
    explained: dict[str, tuple[Mapping[str, Any], int]] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, study: optuna.Study) -> ScoreCache:
        """From the study's storage, where other workers' trials are, too."""
        cache = cls()
        cache.read(study)
        return cache

    def read(self, study: optuna.Study) -> None:
        """Add the trials that have ended since the last time."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
            if trial.number not in self.seen:
                self.seen.add(trial.number)
                self.add(trial)

    def copy(self) -> ScoreCache:
        """For a trial, which adds what it measures and may fail."""
        return ScoreCache(dict(self.plans), dict(self.recipes), dict(self.explained), set(self.seen))

    def add(self, trial: FrozenTrial) -> None:
        """Add the scores of a finished or raced trial."""
        attrs: dict[str, Any] = trial.user_attrs
        if "scores" not in attrs:  # not one of ours: added by hand
            return
        if "faithfulness" in attrs:
            self.explained.setdefault(attrs["key"], (attrs["faithfulness"], trial.number))
            return
        scores = tuple((s["rate"], _score(s, trial.number)) for s in attrs["scores"])
        for _, score in scores:
            self.put(score)
        if trial.state is TrialState.COMPLETE:
            self.recipes.setdefault(attrs["key"], scores)

    def put(self, score: Score) -> None:
        """Keep a score, unless the cache has one of the same plan on more images."""
        cached = self.plans.get(score.plan)
        if cached is None or len(score.correct) > len(cached.correct):
            self.plans[score.plan] = score


def _score(stored: Mapping[str, Any], trial: int) -> Score:
    return Score(
        stored["plan"], tuple(stored["chunks"]), trial, stored.get("cost", {}), tuple(stored.get("loss", ()))
    )
