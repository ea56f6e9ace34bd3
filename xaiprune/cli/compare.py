"""``xaiprune compare``: a study's best, or a composite file, among presets and baselines on test images."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from xaiprune.cli.common.stored import require_ours, stored_study
from xaiprune.cli.common.study_setup import as_searched, require_same
from xaiprune.comparison.run import BEST, compare_on_test
from xaiprune.config.tasks import CompareConfig
from xaiprune.recipe import Recipe
from xaiprune.recipe.configured import chosen_recipe
from xaiprune.session import Context
from xaiprune.study import best_trial, open_context, recipe_of, value_text
from xaiprune.study.threads import fitting_threads

FOLDER = "compare"  # in the study's: what the search itself compared stays beside it


def run(config: CompareConfig) -> None:
    """Compare, print the table, and say where the rest lies."""
    from xaiprune.report import show_comparison

    console = Console(highlight=False, soft_wrap=True)
    name, best, context = opened(config, console)
    settings, folder = config.compare, Path(str(config.output_dir)).absolute()
    with fitting_threads(context):
        comparison = compare_on_test(
            context,
            best,
            folder / FOLDER,
            name=name,
            rates=settings.rates,
            presets=settings.presets,
            criteria=settings.criteria,
            seeds=settings.seeds,
            measured_in=folder,
        )
    picture = show_comparison(comparison, folder / FOLDER, console=console)
    console.print()
    for what, path in (
        ("table", folder / FOLDER / "summary.csv"),
        ("rates", folder / FOLDER / "comparison.csv"),
        ("curves", picture),
    ):
        console.print(f"{what:<11} {path}", markup=False)


def opened(config: CompareConfig, console: Console) -> tuple[str, Recipe, Context]:
    """What is compared with all others, by name, and what it is compared on.

    Raises:
        XaipruneError: There is no such study, it has no finished trial, or it is of another set-up.
    """
    if config.composite.file is not None:
        return Path(config.composite.file).name, chosen_recipe(config), open_context(config)
    with stored_study(config) as study:
        require_ours(study)
        trial = best_trial(study)  # before the network is opened
        context = open_context(as_searched(config, study, "compare"))
        require_same(study, context.config, context.dataset, context.units, context.network)
        best = recipe_of(trial)
        console.print(
            f"best        trial {trial.number}: {value_text(trial)} on validation; {best.summary()}\n",
            markup=False,
        )
        return BEST, best, context
