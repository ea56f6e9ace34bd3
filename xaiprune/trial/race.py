"""Racing: validation images are scored in chunks, and a hopeless trial is stopped after a few of them."""

from __future__ import annotations

import optuna
from optuna.pruners import NopPruner, WilcoxonPruner
from optuna.trial import Trial, TrialState


class Race:
    """A trial against the pruner of its study.

    Args:
        study: Its pruner decides.
        trial: The one that runs.
    """

    def __init__(self, study: optuna.Study, trial: Trial) -> None:
        # Wilcoxon's test pairs the chunks of two trials; the others compare how far trials have come.
        self._paired, self._trial = isinstance(study.pruner, WilcoxonPruner), trial

    @classmethod
    def of(cls, study: optuna.Study, trial: Trial) -> Race | None:
        """The trial's race; None where the study's pruner never stops anything."""
        return None if isinstance(study.pruner, NopPruner) else cls(study, trial)

    def stops(self, step: int, chunk: float, running: float) -> bool:
        """Report a step; whether the trial should end here.

        Args:
            step: Number of the chunk.
            chunk: The objective on this chunk alone.
            running: The objective on all chunks so far.
        """
        self._trial.report(chunk if self._paired else running, step)
        return self._trial.should_prune()


def saved(study: optuna.Study) -> tuple[int, int]:
    """Image evaluations that racing has saved, and how many there would have been without it."""
    skipped = done = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        evaluated, wanted = trial.user_attrs.get("evaluated"), trial.user_attrs.get("images")
        if evaluated is None or wanted is None:
            continue
        done += evaluated
        if trial.state is TrialState.PRUNED:
            seen = sum(score["images"] for score in trial.user_attrs["scores"])
            skipped += wanted - seen
    return skipped, skipped + done
