"""A whole search from a configuration, for Python; also of a network that timm does not have."""

from __future__ import annotations

from dataclasses import replace

import optuna
from torch import nn

from xaiprune.config import Config, ModelConfig, fill_names, study_name
from xaiprune.study.loop import OnTrial, run_trials
from xaiprune.study.setup import open_search
from xaiprune.study.study import open_study
from xaiprune.study.threads import fitting_threads


def search(
    config: Config, on_trial: OnTrial | None = None, *, network: nn.Module | None = None
) -> optuna.Study:
    """Run or resume the study that a configuration describes.

    Args:
        config: As `xaiprune.compose("search", [...])` gives it.
        on_trial: Called with each trial that ends, and the number of trials done so far.
        network: Any classifier, (n, 3, H, W) -> (n, outputs), in place of the ``model`` section's: your own
            module with its weights. It is set to eval mode and moved to ``device``, and goes by the name of
            its class.

    Returns:
        The study; `xaiprune.recipe_of(xaiprune.best_trial(study))` is the best recipe found.

    Raises:
        XaipruneError: The set-up does not fit, or three trials failed in a row.

    Example:
        >>> import xaiprune as xp
        >>> study = xp.search(xp.compose("search", ["model=digits_resnet", "study.n_trials=20"]))
    """
    config = named_after(config, network)
    setup = open_search(config, network)
    study = open_study(setup)
    with fitting_threads(setup.session, config.threads):
        run_trials(study, setup, on_trial)
    return study


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
