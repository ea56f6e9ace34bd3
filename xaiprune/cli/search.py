"""``xaiprune search``: run or resume a study, compare its best on the test split, say where it all lies."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path

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

from xaiprune.config import Config, PruneConfig
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import Accuracy
from xaiprune.report.best_network import portray
from xaiprune.session import Context
from xaiprune.storage import stale
from xaiprune.storage.urls import shown
from xaiprune.study import (
    Ending,
    best_trial,
    counts,
    open_context,
    open_study,
    recipe_of,
    run_trials,
    storage_url,
)
from xaiprune.study.best import save_best
from xaiprune.study.dense import dense_accuracy
from xaiprune.study.study import first_value, is_feasible, value_text
from xaiprune.study.threads import fitting_threads
from xaiprune.trial.race import saved


def run(config: Config) -> None:
    """Search, then compare and save; a study that has all its trials goes straight to the comparison.

    One of several workers that were started by hand leaves the comparison to the command without ``worker``.
    """
    console = Console(highlight=False, soft_wrap=True)
    context = open_context(config)
    with fitting_threads(context):
        _search(context, console)


def _search(context: Context, console: Console) -> None:
    config = context.config
    study = open_study(context)
    dense = dense_accuracy(study, context)
    url = storage_url(config)
    console.print(setup_text(context, dense, study, url), markup=False)
    wanted = config.study.n_trials
    with Trials(console, study, wanted, dense) as shown:
        try:
            ending = run_trials(study, context, shown.add)
        except KeyboardInterrupt:
            ending = Ending.INTERRUPTED
    done = counts(study).done
    if ending is Ending.INTERRUPTED:
        console.print(f"stopped: {done} of {wanted} trials done; the same command goes on from here")
        raise KeyboardInterrupt
    if ending is Ending.TIMEOUT:
        console.print(
            f"study.timeout is over: {done} of {wanted} trials done; the same command goes on from here"
        )
    if ending is Ending.EXHAUSTED:
        console.print(f"the sampler has no further points: {done} of {wanted} trials done")
    if config.worker is not None:
        console.print(
            f"worker {config.worker} has ended; the same command without worker= compares and saves"
        )
        return
    finish(context, study, url, console)


def finish(context: Context, study: optuna.Study, url: str, console: Console) -> None:
    """The best composite as a file, the comparison on the test split, and the paths."""
    from xaiprune.comparison.run import compare_on_test
    from xaiprune.report import show_comparison

    spared, of = saved(study)
    if spared:
        console.print(f"racing      saved {spared:,} of {of:,} image evaluations ({spared / of:.0%})")
    trial = best_trial(study)
    folder = Path(context.config.output_dir or Path("studies") / study.study_name).absolute()
    composite = save_best(study, folder)
    console.print(
        f"best        trial {trial.number}: {_value(trial)} on validation; {_label(trial)}", markup=False
    )
    cost = context.objective.cost
    if cost is not None:
        front = sorted(study.best_trials, key=lambda trial: trial.values[1])
        console.print(f"front       {len(front)} trials that no other beats in both top-1 and {cost}")
        for found in front:
            console.print(
                f"            trial {found.number}: {_value(found)} of the dense {cost}", markup=False
            )
    console.print()
    comparison = compare_on_test(context, recipe_of(trial), folder)
    picture = show_comparison(comparison, folder, console=console)
    portray(context, study, folder)
    console.print()
    for name, path in (
        ("composite", composite),
        ("table", folder / "comparison.csv"),
        ("curves", picture),
        ("study", shown(url)),
        ("dashboard", f"xaiprune dashboard {_stored_where(context.config)}"),
        ("report", report_command(context.config)),
    ):
        console.print(f"{name:<11} {path}", markup=False)


def report_command(config: Config) -> str:
    """What shows the study to people."""
    return f"xaiprune report {_stored_where(config)}"


def _stored_where(config: Config) -> str:
    """The overrides by which other tasks find the study and its folder."""
    found = [f"study.name={config.study.name}"]
    if config.study.storage != f"sqlite:///studies/{config.study.name}.db":
        found.append(f"study.storage={shown(str(config.study.storage))}")
    if config.output_dir != str(Path("studies") / str(config.study.name)):
        found.append(f"output_dir={config.output_dir}")
    return shlex.join(found)


def setup_text(context: Context, dense: Accuracy | None, study: optuna.Study, url: str) -> str:
    """What is searched, on what, in a few lines."""
    config, data, objective = context.config, context.dataset, context.objective
    units = sum(unit.units for unit in context.units)
    rates = ", ".join(f"{rate:g}" for rate in objective.rates)
    done = counts(study).done
    lines = {
        "network": f"{config.model.pruned or config.model.name} on {context.device}, {units:,} "
        f"{config.units.kind} in {len(context.units)} layers",
        "images": f"{len(data.reference)} reference, {len(context.validation)} validation, "
        f"{len(data.test)} test; {len(data.task.classes)} classes",
        "dense": "not measured yet" if dense is None else f"top-1 {dense} (validation)",
        "objective": f"{objective.name}, patches of the validation images flipped"
        if objective.explains
        else f"{objective.name}, rate {rates} of {config.prune.budget}, {_how(config.prune)}",
        "study": f"{study.study_name} in {shown(url)}",
        "trials": f"{done} of {config.study.n_trials} done",
    }
    return "\n".join(f"{name:<11} {text}" for name, text in lines.items())


def _how(prune: PruneConfig) -> str:
    """How units are picked and made up for; what is as always goes without saying."""
    parts = [f"{prune.scope} ranking"]
    if prune.order != "score":
        parts.append(f"{prune.order} order")
    if prune.rounds > 1:
        parts.append(f"{prune.rounds} rounds")
    if prune.compensate != "none":
        parts.append(f"{prune.compensate} compensation")
    return ", ".join(parts)


class Trials:
    """Trials as they end: a bar with the best so far on a terminal, one line each elsewhere.

    Args:
        console: Where to.
        study: Theirs.
        wanted: Trials in all.
        dense: Top-1 of the dense network, to compare with; None: not known yet.
        heading: Begins each line, where several studies share the console (which then has no bar).
    """

    def __init__(
        self, console: Console, study: optuna.Study, wanted: int, dense: Accuracy | None, heading: str = ""
    ) -> None:
        self._console, self._wanted, self._dense, self._heading = console, wanted, dense, heading
        self._best: FrozenTrial | None = None
        done = counts(study).done
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
            disable=not console.is_terminal or done >= wanted or bool(heading),
        )
        self._task = self._bar.add_task(self._best_text(), total=wanted, completed=done)

    def __enter__(self) -> Trials:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def add(self, trial: FrozenTrial, done: int) -> None:
        """Show a trial that has ended."""
        better = (
            trial.state is TrialState.COMPLETE
            and is_feasible(trial)
            and (self._best is None or first_value(trial) > first_value(self._best))
        )
        if better:
            self._best = trial
        self._bar.update(self._task, completed=done, description=self._best_text())
        if not self._console.is_terminal or better or trial.state is TrialState.FAIL:
            mark = "*" if better else " "
            line = f"{self._heading}trial {trial.number:>4} {mark}{_value(trial):>7}  {_label(trial)}"
            self._console.print(line, markup=False)

    def _best_text(self) -> str:
        if self._best is None:
            return ""
        best = f"best {_value(self._best)}"
        if self._dense is None or "faithfulness" in self._best.user_attrs:
            return best
        return f"{best} of {100 * self._dense.top1:.1f} %"


def _value(trial: FrozenTrial) -> str:
    """``64.0 %``; with a cost beside it ``64.0 % at 0.52``."""
    if trial.state is TrialState.FAIL:
        return "failed"
    if trial.state is TrialState.PRUNED:
        return "stopped"
    return value_text(trial)


def _label(trial: FrozenTrial) -> str:
    """What a trial tried, and where its value comes from."""
    if trial.state is TrialState.FAIL:
        return str(trial.user_attrs.get("reason", "left unfinished by its worker; runs again"))
    preset, reused = trial.user_attrs.get("preset"), trial.user_attrs.get("reused_from")
    text = f"preset {preset}" if preset else recipe_of(trial).summary()
    if (worker := trial.user_attrs.get(stale.WORKER, {}).get("number")) is not None:
        text = f"{text} [worker {worker}]"
    if trial.state is TrialState.PRUNED:
        seen = sum(score["images"] for score in trial.user_attrs["scores"])
        text += f" (after {seen} of {trial.user_attrs['images']} image evaluations)"
    if not is_feasible(trial):
        missed = [name for name, excess in trial.constraints.items() if excess > 0]
        text += f" (misses {', '.join(missed)})"
    return text if reused is None else f"{text} (same units as trial {reused})"
