"""A study's trials: counts, the best one, the recipe of each, and its value as text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from xaiprune.errors import XaipruneError

if TYPE_CHECKING:
    from xaiprune.recipe import Recipe

PRESET = "preset"  # user attribute: the name of what was tried before the sampler was asked


@dataclass(frozen=True)
class Counts:
    """Trials of a study by their state.

    Attributes:
        done: Finished with a value, or stopped in a race.
        running: Asked and not finished, here or elsewhere.
        failed: Without a value; the reason is stored with the trial.
        presets: Of those that are done, what a study tries first: presets, a given recipe, the centre of its
            space.
        presets_left: More of these, queued or running.
    """

    done: int
    running: int
    failed: int
    presets: int = 0
    presets_left: int = 0

    @property
    def sampled(self) -> int:
        """Of those that are done, what the sampler has proposed; what ``study.n_trials`` counts."""
        return self.done - self.presets

    def left(self, wanted: int) -> int:
        """Trials that are not done yet.

        Args:
            wanted: ``study.n_trials``.
        """
        return max(0, wanted - self.sampled) + self.presets_left

    def text(self, wanted: int) -> str:
        """``37 of 60 sampled trials done (12 presets before)``."""
        text = f"{self.sampled} of {wanted} sampled trials done"
        if self.presets_left:
            return f"{text} ({self.presets} of {self.presets + self.presets_left} presets)"
        return f"{text} ({self.presets} presets before)" if self.presets else text


def counts(study: optuna.Study) -> Counts:
    """Count a study's trials."""
    trials = study.get_trials(deepcopy=False)
    states = Counter(trial.state for trial in trials)
    presets = Counter(trial.state for trial in trials if PRESET in trial.user_attrs)
    return Counts(
        done=states[TrialState.COMPLETE] + states[TrialState.PRUNED],
        running=states[TrialState.RUNNING],
        failed=states[TrialState.FAIL],
        presets=presets[TrialState.COMPLETE] + presets[TrialState.PRUNED],
        presets_left=presets[TrialState.WAITING] + presets[TrialState.RUNNING],
    )


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The finished trial with the best (first) value, the earliest of equals, that keeps the constraints.

    Raises:
        XaipruneError: No trial has finished, or none keeps the constraints.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        raise XaipruneError(f"study '{study.study_name}' has no finished trial yet; run its search again")
    feasible = [trial for trial in finished if is_feasible(trial)]
    if not feasible:
        names = ", ".join(sorted({name for trial in finished for name in trial.constraints}))
        raise XaipruneError(
            f"none of the {len(finished)} finished trials of study '{study.study_name}' keeps the "
            f"constraints ({names}); run more, or loosen objective.constraints under another study.name"
        )
    return max(feasible, key=lambda trial: (merit(study, trial), -trial.number))


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a finished trial keeps all constraints."""
    return all(excess <= 0 for excess in trial.constraints.values())


def first_value(trial: FrozenTrial) -> float:
    """A finished trial's first value: the objective's."""
    return trial.values[0] if trial.values else 0.0


def merit(study: optuna.Study, trial: FrozenTrial) -> float:
    """A finished trial's first value, negative in a study that minimises it: the higher, the better."""
    return -first_value(trial) if minimises(study) else first_value(trial)


def minimises(study: optuna.Study) -> bool:
    """Whether a lower first value is better."""
    return study.directions[0] is StudyDirection.MINIMIZE


def value_text(trial: FrozenTrial) -> str:
    """A finished trial's values as text: ``64.0 %``, with a cost ``64.0 % at 0.52``, ``1.234`` logits.

    A perplexity is ``8.10``.
    """
    first = first_value(trial)
    value = f"{100 * first:.1f} %"
    if "faithfulness" in trial.user_attrs:
        value = f"{first:.3f}"
    elif "measure" in trial.user_attrs:
        value = f"{first:.2f}"
    return value if len(trial.values) == 1 else f"{value} at {trial.values[1]:.2f}"


def recipe_of(trial: FrozenTrial) -> Recipe:
    """What a finished trial tried, as stored with it.

    Raises:
        XaipruneError: The trial was not made by xaiprune.
    """
    from xaiprune.recipe import Recipe

    return Recipe.from_dict(proposal_of(trial), f"trial {trial.number}")


def proposal_of(trial: FrozenTrial) -> dict[str, Any]:
    """The same as plain data, which needs no torch.

    Raises:
        XaipruneError: As `recipe_of`.
    """
    stored = trial.user_attrs.get("proposal")
    if stored is None:
        raise XaipruneError(f"trial {trial.number} has no stored composite; it was not made by xaiprune")
    return dict(stored)
