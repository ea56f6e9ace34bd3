"""The whole search from a configuration, for Python."""

from __future__ import annotations

import optuna

from xaiprune.config import Config
from xaiprune.search.context import open_context
from xaiprune.search.loop import OnTrial, run_trials
from xaiprune.search.study import open_study


def search(config: Config, on_trial: OnTrial | None = None) -> optuna.Study:
    """Run or resume the study that a configuration describes.

    Args:
        config: As `xaiprune.config.compose("search", [...])` gives it.
        on_trial: Called with each trial that ends, and the number of trials done so far.

    Returns:
        The study; `xaiprune.search.proposal_of(best_trial(study))` is the best composite found.

    Raises:
        XaipruneError: The set-up does not fit, or three trials failed in a row.

    Example:
        >>> from xaiprune.config import compose
        >>> study = search(compose("search", ["model=digits_resnet", "study.n_trials=20"]))
    """
    context = open_context(config)
    study = open_study(context)
    run_trials(study, context, on_trial)
    return study
