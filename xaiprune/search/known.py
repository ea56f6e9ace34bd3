"""What a study has measured already, so that nothing is measured twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True)
class Score:
    """Top-1 of one plan on the validation images.

    Attributes:
        plan: Hash of what was removed.
        correct: Images classified correctly.
        trial: Number of the trial that measured it.
    """

    plan: str
    correct: int
    trial: int


@dataclass
class Known:
    """Scores of a study's finished trials, by plan and by proposal.

    Attributes:
        plans: Plan hash -> score.
        proposals: Proposal key -> the scores at the objective's rates.
    """

    plans: dict[str, Score] = field(default_factory=dict)
    proposals: dict[str, tuple[Score, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, study: optuna.Study) -> Known:
        """From the study's storage, where other workers' trials are, too."""
        known = cls()
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            known.add(trial)
        return known

    def add(self, trial: FrozenTrial) -> None:
        """Take up a finished trial."""
        attrs: dict[str, Any] = trial.user_attrs
        if "scores" not in attrs:  # not one of ours: added by hand
            return
        scores = tuple(Score(s["plan"], s["correct"], trial.number) for s in attrs["scores"])
        for score in scores:
            self.plans.setdefault(score.plan, score)
        self.proposals.setdefault(attrs["key"], scores)
