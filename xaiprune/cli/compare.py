"""``xaiprune compare``: a study's best, or a recipe file, among presets and baselines on test images."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from xaiprune.cli.common.stored import require_ours, stored_study
from xaiprune.cli.common.study_setup import as_searched, given_file, require_same
from xaiprune.comparison import BEST, Comparison, compare_on_test, summary
from xaiprune.config.tasks import CompareConfig
from xaiprune.recipe import Recipe
from xaiprune.report import show_comparison
from xaiprune.report.table import macs_text, percent
from xaiprune.session import PruningSession, open_session
from xaiprune.study import best_trial, fitting_threads, recipe_of, value_text


def run(config: CompareConfig) -> dict[str, str]:
    """Compare, print the table, and say where the rest lies; for a sweep's table the figures."""
    console = Console(highlight=False, soft_wrap=True)
    name, best, trial, session = opened(config, console)
    settings, study = config.compare, Path(str(config.output_dir)).absolute()
    folder = study if trial is not None else study / Path(name).stem  # beside a study's own comparison
    with fitting_threads(session, config.threads):
        comparison = compare_on_test(
            session,
            best,
            folder,
            name=name,
            rates=settings.rates,
            presets=settings.presets,
            criteria=settings.criteria,
            seeds=settings.seeds,
            peers=settings.peers,
            compensate=settings.compensate,
            cache_dir=study,
            trial=trial,
        )
    picture = show_comparison(comparison, folder, console=console)
    console.print()
    for what, path in (
        ("table", folder / "summary.csv"),
        ("rates", folder / "comparison.csv"),
        ("curves", picture),
    ):
        console.print(f"{what:<11} {path}", markup=False)
    return figures(comparison)


def figures(comparison: Comparison) -> dict[str, str]:
    """The best and the most accurate other method at the target rate, and what the best leaves of MACs."""
    table = summary(comparison).set_index("method")
    others = table[~table.kind.isin(["dense", "best"])]
    found = {
        "best": percent(table.top1[comparison.best]),
        "MACs left": macs_text(table.macs[comparison.best]),
    }
    if len(others):
        found["best other"] = f"{percent(others.top1.max())} {others.top1.idxmax()}"
    return found


def opened(config: CompareConfig, console: Console) -> tuple[str, Recipe, int | None, PruningSession]:
    """What is compared with all others, by name, its trial, and the session that it is compared in.

    Raises:
        XaipruneError: There is no such study, it has no finished trial, or it is of another set-up.
    """
    if (file := given_file(config)) is not None:
        session = open_session(config)
        return Path(file).name, session.recipe, None, session
    with stored_study(config) as study:
        require_ours(study)
        trial = best_trial(study)  # before the network is opened
        config = as_searched(config, study, "compare")
        session = open_session(config)
        require_same(study, config, session)
        best = recipe_of(trial)
        console.print(
            f"best        trial {trial.number}: {value_text(trial)} on validation; {best.summary()}\n",
            markup=False,
        )
        return BEST, best, trial.number, session
