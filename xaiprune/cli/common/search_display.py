"""A search on the console: its set-up, and each trial when it has ended."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from xaiprune.config import CompletePruneConfig
from xaiprune.data import LabelledImages, Task
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import Accuracy, TokenAccuracy
from xaiprune.progress import only_bar
from xaiprune.session import about_references
from xaiprune.space import Space
from xaiprune.storage import REASON, WORKER, shown
from xaiprune.study import (
    best_trial,
    counts,
    is_feasible,
    merit,
    racing_text,
    recipe_of,
    value_text,
)
from xaiprune.trial import SearchSetup


def setup_text(setup: SearchSetup, dense: Accuracy | None, study: optuna.Study, url: str) -> str:
    """What is searched, on what, in a few lines."""
    config, session, objective = setup.config, setup.session, setup.objective
    data = session.dataset
    rates = ", ".join(f"{rate:g}" for rate in objective.rates)
    lines = {
        "network": f"{session.name} on {session.device}, {session.unit_count:,} "
        f"{session.unit_kind} in {len(session.units)} layers",
        f"{data.test.noun}s": f"{len(data.reference)} reference, {len(session.validation)} validation, "
        f"{len(data.test)} test; {_each(data.test, data.task)}",
        **about_references(session),
        "dense": "not measured yet" if dense is None else f"{objective.measure} {dense} (validation)",
        "objective": f"{objective.name}, rate {rates} of {session.prune.budget}, {_how(session.prune)}"
        if objective.prunes
        else f"{objective.name}, patches of the validation images flipped",
        "searched": _searched(setup.space),
        "study": f"{study.study_name} in {shown(url)}",
        "racing": racing_text(setup),
        "trials": counts(study).text(config.study.n_trials),
    }
    return "\n".join(f"{name:<11} {text}" for name, text in lines.items())


def _each(examples: LabelledImages, task: Task) -> str:
    """What is told apart in an example: ``10 classes``; of text what a window holds."""
    if examples.window is None:
        return f"{len(task.classes)} classes"
    return f"{examples.window} tokens each, of a vocabulary of {len(task.classes):,}"


def _searched(space: Space) -> str:
    """How many parameters a space has, and those of the whole network by name."""
    whole = [name for name, choice in space.dimensions().items() if choice.searched]
    return f"{len(space.searched())} parameters" + (f": of rules, and {', '.join(whole)}" if whole else "")


def _how(prune: CompletePruneConfig) -> str:
    """How units are chosen and compensated for; defaults are left out."""
    parts = [f"{prune.scope} ranking"]
    if prune.multiple > 1:
        parts.append(f"multiples of {prune.multiple} channels")
    if prune.order != "score":
        parts.append(f"{prune.order} order")
    if prune.rounds > 1:
        parts.append(f"{prune.rounds} rounds")
    if prune.compensate != "none":
        parts.append(f"{prune.compensate} compensation")
    return ", ".join(parts)


class Trials:
    """Finished trials: on a terminal a bar with the best so far, elsewhere one line each.

    Args:
        console: Where to.
        study: Theirs.
        wanted: ``study.n_trials``.
        dense: Top-1 of the dense network, to compare with; None: not measured yet.
        heading: Begins each line, where several studies share the console (which then has no bar).
    """

    def __init__(
        self, console: Console, study: optuna.Study, wanted: int, dense: Accuracy | None, heading: str = ""
    ) -> None:
        self._console, self._study, self._dense, self._heading = console, study, dense, heading
        self._best: FrozenTrial | None = None
        now = counts(study)
        left = now.left(wanted)
        with suppress(XaipruneError):  # none has finished yet, or none keeps the constraints
            self._best = best_trial(study)
        self._bar = Progress(
            TextColumn("trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=True,
            disable=not console.is_terminal or not left or bool(heading),
        )
        self._shown = ExitStack()
        self._task = self._bar.add_task(self._best_text(), total=now.done + left, completed=now.done)

    def __enter__(self) -> Trials:
        self._shown.enter_context(only_bar())
        self._shown.enter_context(self._bar)
        return self

    def __exit__(self, *exception: object) -> None:
        self._shown.close()

    def add(self, trial: FrozenTrial, done: int) -> None:
        """Show a trial that has ended."""
        better = (
            trial.state is TrialState.COMPLETE
            and is_feasible(trial)
            and (self._best is None or merit(self._study, trial) > merit(self._study, self._best))
        )
        if better:
            self._best = trial
        self._bar.update(self._task, completed=done, description=self._best_text())
        if not self._console.is_terminal or better or trial.state is TrialState.FAIL:
            mark = "*" if better else " "
            line = f"trial {trial.number:>4} {mark}{value_or_state(trial):>7}  {trial_text(trial)}"
            self._console.print(f"{self._heading}{line}", markup=False)

    def _best_text(self) -> str:
        if self._best is None:
            return ""
        best = f"best {value_or_state(self._best)}"
        if self._dense is None or "faithfulness" in self._best.user_attrs:
            return best
        if isinstance(self._dense, TokenAccuracy) and "measure" in self._best.user_attrs:
            return f"{best}, dense {self._dense.perplexity:.2f}"
        return f"{best} of {100 * self._dense.top1:.1f} %"


def value_or_state(trial: FrozenTrial) -> str:
    """``64.0 %``; with a cost beside it ``64.0 % at 0.52``."""
    if trial.state is TrialState.FAIL:
        return "failed"
    if trial.state is TrialState.PRUNED:
        return "stopped"
    return value_text(trial)


def trial_text(trial: FrozenTrial) -> str:
    """What a trial tried, and where its value comes from."""
    if trial.state is TrialState.FAIL:
        return str(trial.user_attrs.get(REASON, "left unfinished by its worker; runs again"))
    preset, reused = trial.user_attrs.get("preset"), trial.user_attrs.get("reused_from")
    text = f"preset {preset}" if preset else recipe_of(trial).summary()
    if (worker := trial.user_attrs.get(WORKER, {}).get("number")) is not None:
        text = f"{text} [worker {worker}]"
    if trial.state is TrialState.PRUNED:
        seen = sum(score["images"] for score in trial.user_attrs["scores"])
        text += f" (after {seen} of {trial.user_attrs['images']} image evaluations)"
    if not is_feasible(trial):
        missed = [name for name, excess in trial.constraints.items() if excess > 0]
        text += f" (misses {', '.join(missed)})"
    return text if reused is None else f"{text} (same units as trial {reused})"
