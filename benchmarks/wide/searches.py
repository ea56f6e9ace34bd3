"""The searches: rules and ranking first, then the weight of each layer around what was found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import optuna

from benchmarks.proof.studies import print_trial, publish, stored_study
from benchmarks.wide.cases import STUDIES, Case, config_of
from xaiprune.config import Config
from xaiprune.recipe import Recipe
from xaiprune.study import (
    best_recipe,
    counts,
    fitting_threads,
    open_search,
    open_study,
    run_trials,
    save_best,
)

MACS_LEFT = 0.7  # of the networks that trials score


@dataclass(frozen=True)
class Stage:
    """One search of a case.

    Attributes:
        name: Part of the study's name.
        trials: Beyond the presets.
        overrides: ``{best}`` is the recipe of ``around``.
        around: The stage before it.
    """

    name: str
    trials: int
    overrides: tuple[str, ...] = ()
    around: Stage | None = None


RULES = Stage("rules", 40, ("space.scope=[global,layer]",))
BALANCE = Stage("balance", 30, ("space=balance", "space.around={best}", "recipe={best}"), RULES)
STAGES = (RULES, BALANCE)
FOUND = "searched"


def file_of(case: Case, seed: int, stage: Stage) -> Path:
    """The study's database; its folder beside it has the same name without suffix."""
    return STUDIES / f"{case.name}-{stage.name}-s{seed}.db"


def config_for(case: Case, seed: int, stage: Stage) -> Config:
    """Settings of one study."""
    file = file_of(case, seed, stage)
    overrides = stage.overrides
    if stage.around is not None:
        best = file_of(case, seed, stage.around).with_suffix("") / "best.yaml"
        overrides = tuple(text.replace("{best}", str(best)) for text in overrides)
    return config_of(
        case,
        seed,
        (
            *overrides,
            f"prune.rate={case.rate(MACS_LEFT):.4f}",
            "prune.compensate=linear",
            "prune.sequential=false",
            f"prune.bn={case.bn}",
            "objective.precision=bfloat16",
            "search.batch=4",
            f"study.n_trials={stage.trials}",
            f"study.name={file.stem}",
            f"study.storage=sqlite:///{file}",
            f"output_dir={file.with_suffix('')}",
        ),
    )


def run(case: Case, seed: int, stage: Stage) -> None:
    """Run what is missing of a study; its file is fit to be published on return."""
    if finished(case, seed, stage) is not None:
        return
    file = file_of(case, seed, stage)
    file.parent.mkdir(parents=True, exist_ok=True)
    setup = open_search(config_for(case, seed, stage))
    study = open_study(setup)
    print(f"{file.stem}: {counts(study).done} trials done", flush=True)
    with fitting_threads(setup.session, setup.config.threads):
        run_trials(study, setup, print_trial)
    publish(study, file)
    save_best(study, file.with_suffix(""))
    if finished(case, seed, stage) is None:  # somebody asked it to stop
        raise KeyboardInterrupt


def finished(case: Case, seed: int, stage: Stage) -> optuna.Study | None:
    """The study if it has all its trials, also without network and images."""
    study = stored_study(file_of(case, seed, stage))
    if study is None:
        return None
    done = counts(study)
    return study if not done.presets_left and done.sampled >= stage.trials else None


def found(case: Case, seed: int) -> Recipe | None:
    """What the searches of a seed have found: the best of the last that is finished."""
    stage = _last_finished(case, seed)
    if stage is None or (study := finished(case, seed, stage)) is None:
        return None
    return best_recipe(study).renamed(FOUND)


def best_file(case: Case, seed: int) -> Path | None:
    """The file of that recipe, with where it comes from."""
    stage = _last_finished(case, seed)
    return None if stage is None else file_of(case, seed, stage).with_suffix("") / "best.yaml"


def _last_finished(case: Case, seed: int) -> Stage | None:
    return next((stage for stage in reversed(STAGES) if finished(case, seed, stage) is not None), None)
