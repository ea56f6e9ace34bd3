"""The whole search from a configuration, for Python; also of a network that no name stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from torch import nn

from xaiprune.config import Config, ModelConfig, fill_names, study_name
from xaiprune.errors import XaipruneError
from xaiprune.storage.urls import storage_file
from xaiprune.study.loop import OnTrial, run_trials
from xaiprune.study.setup import open_context
from xaiprune.study.study import best_trial, open_study, recipe_of, storage_url
from xaiprune.study.threads import fitting_threads

if TYPE_CHECKING:
    from xaiprune.comparison.table import Comparison


def search(
    config: Config, on_trial: OnTrial | None = None, *, network: nn.Module | None = None
) -> optuna.Study:
    """Run or resume the study that a configuration describes.

    Args:
        config: As `xaiprune.config.compose("search", [...])` gives it.
        on_trial: Called with each trial that ends, and the number of trials done so far.
        network: Any classifier, (n, 3, H, W) -> (n, outputs), in place of the ``model`` section's: your own
            module with its weights. It is set to eval mode and moved to ``device``, and goes by the name of
            its class.

    Returns:
        The study; `xaiprune.search.recipe_of(best_trial(study))` is the best composite found.

    Raises:
        XaipruneError: The set-up does not fit, or three trials failed in a row.

    Example:
        >>> from xaiprune.config import compose
        >>> study = search(compose("search", ["model=digits_resnet", "study.n_trials=20"]))
    """
    context = open_context(named_after(config, network), network)
    study = open_study(context)
    with fitting_threads(context):
        run_trials(study, context, on_trial)
    return study


def compare(
    config: Config, *, network: nn.Module | None = None, criteria: Sequence[str] | None = None
) -> Comparison:
    """Measure the best of a configuration's study beside presets, baselines and chance on the test split.

    What was measured before is read back from ``output_dir``, where the figures are kept as CSV and JSON.

    Args:
        config: Of the search.
        network: As given to `search`.
        criteria: Names of baseline criteria, also registered ones (`xaiprune.register_criterion`); None:
            Taylor, activation and weight magnitude.

    Returns:
        The figures; ``.frame`` has one row a measurement, `xaiprune.report.draw_curves` draws them.

    Raises:
        XaipruneError: There is no such study, none of its trials has finished, or it is of another set-up.
    """
    from xaiprune.comparison.run import CRITERIA, compare_on_test  # pandas; only now that it is needed

    config = named_after(config, network)
    path = storage_file(storage_url(config))
    if path is not None and not path.is_file():  # opening it would make one of it
        raise XaipruneError(f"no study there: {path} does not exist; search first")
    config.study.load_only = True
    context = open_context(config, network)
    best = recipe_of(best_trial(open_study(context)))
    with fitting_threads(context):
        folder = Path(str(config.output_dir))
        return compare_on_test(context, best, folder, criteria=CRITERIA if criteria is None else criteria)


def named_after(config: Config, network: nn.Module | None) -> Config:
    """A copy of the configuration with a given network's name, also in the names that follow from it."""
    own = replace(config, study=replace(config.study))
    if network is None:
        return own
    own.model = ModelConfig(name=type(network).__name__)
    if config.study.name == study_name(config):
        old = replace(config, study=replace(config.study, storage=None), output_dir=None)
        fill_names(old, "search")
        own.study.name = None
        own.study.storage = None if config.study.storage == old.study.storage else config.study.storage
        own.output_dir = None if config.output_dir == old.output_dir else config.output_dir
        fill_names(own, "search")
    return own
