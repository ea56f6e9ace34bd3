"""The proof's studies: run, gone on with, and kept in files that tell nobody's folders."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmarks.proof.cases import STUDIES, Case, config_of
from xaiprune.config import Config, compose
from xaiprune.recipe import Recipe
from xaiprune.study import (
    RUNS,
    best_trial,
    counts,
    fitting_threads,
    load_study,
    open_search,
    open_study,
    recipe_of,
    run_trials,
    save_best,
)


@dataclass(frozen=True)
class Stage:
    """One search of a case.

    Attributes:
        name: Part of the study's name.
        overrides: Space and sampler; ``{best}`` is the best composite's file of ``around``.
        around: The stage before it, without which there is nothing to begin with.
        trials: Wanted in all, presets included; None: the case's.
        compensated: Whether trials compensate, as the case says, at the case's rate for that.
        at_half: Whether it is scored where the strongest preset has lost half (without compensation).
        joint: Whether units leave in the joint order (``prune.order``).
    """

    name: str
    overrides: tuple[str, ...]
    around: Stage | None = None
    trials: int | None = None
    compensated: bool = False
    at_half: bool = False
    joint: bool = False

    def wanted(self, case: Case) -> int:
        """Trials of a case's study."""
        return self.trials or case.trials

    def rate(self, case: Case) -> float | None:
        """That the study is scored at; None: the case has no such study."""
        return case.compensated_rate if self.compensated else case.half_rate if self.at_half else case.rate


# The published studies are older than these dimensions.
_FORMER = ("space.order=null", "space.compensate=null", "space.sequential=null")
_GROUPS = ("space=depth_groups", *_FORMER)
_RACING = ("pruner=wilcoxon", "search.batch=4")
_FAST = (*_RACING, "objective.precision=bfloat16")
_SCALE = tuple(f"+space.scale.{depth}={{low: 0.1, high: 10}}" for depth in ("low", "mid", "high"))
_BALANCE = ("space=balance", "space.around={best}", *_FAST)
DEPTH_GROUPS = Stage("depth_groups", (*_GROUPS, *_RACING))
# Of the same composite: what each layer weighs, at the rate that the papers' question is about.
BALANCE = Stage("balance", _BALANCE, DEPTH_GROUPS, 80, at_half=True)
# How much of that comes of LRP: the same with Taylor's relevance.
TAYLOR_BALANCE = Stage(
    "taylor_balance", ("space=balance", "space.around=taylor", *_FAST), trials=80, at_half=True
)
# What is worth keeping is another question where the rest makes up for what goes.
COMPENSATED = Stage("compensated", (*_GROUPS, *_SCALE, *_FAST), trials=100, compensated=True)
COMPENSATED_BALANCE = Stage("compensated_balance", _BALANCE, COMPENSATED, 80, compensated=True)
# Once more, closer: a factor of 1.7 can empty a layer, one of 1.18 moves a few percent of its units.
_FINER = (*_BALANCE, "space.scale.each={low: 0.85, high: 1.18}")
FINER = Stage("finer", _FINER, BALANCE, 80, at_half=True)
COMPENSATED_FINER = Stage("compensated_finer", _FINER, COMPENSATED_BALANCE, 80, compensated=True)
# Units are judged together, as they are removed: the rules again, then the balance in smaller steps.
_CLOSER = (*_BALANCE, "space.scale.each={low: 0.75, high: 1.33}")
JOINT = Stage("joint", (*_GROUPS, *_SCALE, *_FAST), trials=40, at_half=True, joint=True)
JOINT_BALANCE = Stage("joint_balance", _CLOSER, JOINT, 60, at_half=True, joint=True)
# Signed sums spread what leaves over the layers, which only the joint order can use; free to choose, the
# sampler seldom gets there from Taylor, which is good in that order, too.
SIGNED = Stage("signed", (*JOINT.overrides, "space.aggregate=[signed]"), trials=60, at_half=True, joint=True)
SIGNED_BALANCE = Stage("signed_balance", _CLOSER, SIGNED, 60, at_half=True, joint=True)
# How much of that is LRP: Taylor's relevance in that order, with a factor a layer.
TAYLOR_JOINT = Stage(
    "taylor_joint",
    ("space=balance", "space.around=taylor", *_CLOSER[2:]),
    trials=60,
    at_half=True,
    joint=True,
)
# With compensation what was found by score is a better beginning than no recipe.
COMPENSATED_JOINT = Stage("compensated_joint", _CLOSER, COMPENSATED_BALANCE, 60, compensated=True, joint=True)
COMPENSATED_SIGNED = Stage("compensated_signed", SIGNED.overrides, trials=80, compensated=True, joint=True)
# Other spaces, scored as depth_groups is.
FURTHER = (
    Stage("refine", ("space=refine", "space.around={best}", *_SCALE, *_FAST), DEPTH_GROUPS, 60),
    Stage("per_layer", ("space=per_layer", *_FORMER, "recipe={best}", *_FAST), DEPTH_GROUPS, 60),
)
# Every stage there is: a study's file names one of them.
STAGES = (
    *(DEPTH_GROUPS, *FURTHER, TAYLOR_BALANCE),
    *(BALANCE, FINER, COMPENSATED, COMPENSATED_BALANCE, COMPENSATED_FINER),
    *(TAYLOR_JOINT, JOINT, JOINT_BALANCE, SIGNED, SIGNED_BALANCE, COMPENSATED_JOINT, COMPENSATED_SIGNED),
)


def file_of(case: Case, seed: int, stage: Stage = DEPTH_GROUPS) -> Path:
    """The study's database; its folder beside it has the same name without suffix."""
    assert stage.rate(case) is not None, f"{case.name} has no study {stage.name}"
    return STUDIES / f"{case.name}-{stage.rate(case):g}-{stage.name}-s{seed}.db"


def config_for(case: Case, seed: int, stage: Stage = DEPTH_GROUPS) -> Config:
    """Settings of one study."""
    file = file_of(case, seed, stage)
    overrides = list(stage.overrides)
    if stage.around is not None:
        best = file_of(case, seed, stage.around).with_suffix("") / "best.yaml"
        overrides = [text.replace("{best}", str(best)) for text in overrides]
    return config_of(
        case,
        seed,
        (
            *overrides,
            f"prune.rate={stage.rate(case)}",
            *(("prune.compensate=linear",) if stage.compensated else ()),
            *(case.compensation if stage.compensated else ()),
            *(("prune.order=joint",) if stage.joint else ()),
            f"study.name={file.stem}",
            f"study.storage=sqlite:///{file}",
            f"output_dir={file.with_suffix('')}",
        ),
    )


def run(case: Case, seed: int, stage: Stage = DEPTH_GROUPS) -> None:
    """Run what is missing of a study, if the case has it; its file is fit to be published on return."""
    if stage.rate(case) is None or (stage.around and finished(case, seed, stage.around) is None):
        return
    config = config_for(case, seed, stage)
    study = study_of(case, seed, stage)
    done = 0 if study is None else counts(study).done
    if done >= stage.wanted(case):
        return
    print(f"{config.study.name}: {done} of {stage.wanted(case)} trials done", flush=True)
    setup = open_search(config)
    study = open_study(setup)
    now = counts(study)
    config.study.n_trials = max(0, stage.wanted(case) - now.presets - now.presets_left)
    with fitting_threads(setup.session, config.threads):
        run_trials(study, setup, print_trial)
    file = file_of(case, seed, stage)
    publish(study, file)
    save_best(study, file.with_suffix(""))
    if finished(case, seed, stage) is None:  # somebody asked it to stop
        raise KeyboardInterrupt


def study_of(case: Case, seed: int, stage: Stage = DEPTH_GROUPS) -> optuna.Study | None:
    """The study as it is, finished or not, also without network and images; None where there is none."""
    if stage.rate(case) is None:
        return None
    return stored_study(file_of(case, seed, stage))


def stored_study(file: Path) -> optuna.Study | None:
    """The study that a database named after it has, also without network and images; None: it has none."""
    storage = f"sqlite:///{file}"
    # A search that was stopped while it made its database has left one without a study.
    if not file.is_file() or file.stem not in optuna.get_all_study_names(storage):
        return None
    return load_study(compose("studies", [f"study.name={file.stem}", f"study.storage={storage}"]))


def finished(case: Case, seed: int, stage: Stage = DEPTH_GROUPS) -> optuna.Study | None:
    """The study if it has all its trials."""
    study = study_of(case, seed, stage)
    return study if study is not None and counts(study).done >= stage.wanted(case) else None


def publish(study: optuna.Study, path: Path) -> None:
    """Take the folder of this machine out of what the study notes, and out of its file."""
    runs: list[object] = []
    for noted in study.user_attrs.get(RUNS, []):
        portable = {**noted, "folder": "."}  # paths in the settings are relative already
        if portable not in runs:
            runs.append(portable)
    study.set_user_attr(RUNS, runs)
    # What was overwritten stays in the file's free pages otherwise.
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def found(case: Case, seed: int, stages: Iterable[Stage] = (DEPTH_GROUPS, *FURTHER)) -> dict[str, Recipe]:
    """What the finished searches of a case have found, by the name of the search.

    Args:
        case: The network.
        seed: Of the searches.
        stages: Which; without more, those that are scored at the case's rate without compensation.
    """
    recipes = {}
    for stage in stages:
        if (study := finished(case, seed, stage)) is not None:
            recipes[stage.name] = recipe_of(best_trial(study))
    return recipes


def print_trial(trial: FrozenTrial, done: int) -> None:
    """One line for a trial that has ended."""
    value = "" if not trial.values or trial.state is not TrialState.COMPLETE else f"{trial.values[0]:.1%}"
    print(f"  {done:>4}  trial {trial.number:<4} {trial.state.name.lower():<9} {value}", flush=True)
