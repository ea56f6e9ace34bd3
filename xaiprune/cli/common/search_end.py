"""The end of a search: the best recipe as a file, the comparison on the test split, and all paths."""

from __future__ import annotations

from pathlib import Path

import optuna
from rich.console import Console

from xaiprune.cli.common.search_display import trial_text, value_or_state
from xaiprune.config import Config, command
from xaiprune.report import show_comparison
from xaiprune.report.best_network import write_best_network
from xaiprune.storage import shown
from xaiprune.study import best_trial, recipe_of, save_best, where_stored
from xaiprune.trial import SearchSetup, saved


def finish(setup: SearchSetup, study: optuna.Study, url: str, console: Console) -> None:
    """The best composite as a file, the comparison on the test split, and the paths."""
    from xaiprune.comparison.run import compare_on_test

    skipped, of = saved(study)
    if skipped:
        console.print(f"racing      saved {skipped:,} of {of:,} image evaluations ({skipped / of:.0%})")
    trial = best_trial(study)
    folder = Path(setup.config.output_dir or Path("studies") / study.study_name).absolute()
    composite = save_best(study, folder)
    console.print(
        f"best        trial {trial.number}: {value_or_state(trial)} on validation; {trial_text(trial)}",
        markup=False,
    )
    cost, measure = setup.objective.cost, setup.objective.measure
    if cost is not None:
        front = sorted(study.best_trials, key=lambda trial: trial.values[1])
        console.print(f"front       {len(front)} trials that no other beats in both {measure} and {cost}")
        for found in front:
            console.print(
                f"            trial {found.number}: {value_or_state(found)} of the dense {cost}", markup=False
            )
    console.print()
    compared: list[tuple[str, object]] = []
    test = setup.session.dataset.test
    if len(test):
        comparison = compare_on_test(setup.session, recipe_of(trial), folder, trial=trial.number, again=False)
        picture = show_comparison(comparison, folder, console=console)
        compared = [("table", folder / "comparison.csv"), ("curves", picture)]
    else:
        with_some = command("compare", {**_stored_where(setup.config), "data.test_root": "FOLDER"})
        console.print(
            f"there are no test images, so nothing is compared; with some: {with_some}", markup=False
        )
    write_best_network(setup, study, folder)
    console.print()
    for name, path in (
        ("composite", composite),
        *compared,
        ("study", shown(url)),
        ("dashboard", command("dashboard", _stored_where(setup.config))),
        ("report", report_command(setup.config)),
    ):
        console.print(f"{name:<11} {path}", markup=False)


def report_command(config: Config) -> str:
    """The command that makes a page of the study."""
    return command("report", _stored_where(config))


def _stored_where(config: Config) -> dict[str, str]:
    """The settings by which other tasks find the study and its folder."""
    found = where_stored(config)
    if config.output_dir != str(Path("studies") / str(config.study.name)):
        found["output_dir"] = str(config.output_dir)
    return found
