"""A whole search from a configuration, for Python; also of a network that timm does not have."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from html import escape

import optuna
from optuna.trial import FrozenTrial
from torch import nn

from xaiprune.config import Config, ModelConfig, fill_names, study_name
from xaiprune.errors import XaipruneError
from xaiprune.storage import storage_of
from xaiprune.study.loop import OnTrial, run_trials
from xaiprune.study.selection import distinct_trials
from xaiprune.study.setup import open_search
from xaiprune.study.study import open_study
from xaiprune.study.threads import fitting_threads
from xaiprune.study.trials import counts, recipe_of, value_text

_SHOWN = 5


def search(config: Config, on_trial: OnTrial | None = None, *, network: nn.Module | None = None) -> Found:
    """Run or resume the study that a configuration describes.

    Args:
        config: As `xaiprune.compose("search", [...])` gives it.
        on_trial: Called with each trial that ends, and the number of trials done so far.
        network: Any classifier, (n, 3, H, W) -> (n, outputs), in place of the ``model`` section's: your own
            module with its weights. It is set to eval mode and moved to ``device``, and goes by the name of
            its class.

    Returns:
        The study, one of Optuna's; `xaiprune.recipe_of(xaiprune.best_trial(study))` is the best recipe found.

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
    return Found(study.study_name, storage_of(study), sampler=study.sampler, pruner=study.pruner)


class Found(optuna.Study):
    """A study that shows itself: how many trials it has, and its best."""

    def __repr__(self) -> str:
        now = counts(self)
        trials = f"study '{self.study_name}': {now.sampled} sampled trials and {now.presets} presets"
        for best in self._best(1):
            trials += f"; best is trial {best.number}, {value_text(best)}: {recipe_of(best).summary()}"
        return f"<{trials}>"

    def _repr_html_(self) -> str:
        """For notebooks: the best trials as a table."""
        rows = "".join(
            f"<tr><td>{trial.number}</td><td>{escape(value_text(trial))}</td>"
            f"<td>{escape(recipe_of(trial).summary())}</td></tr>"
            for trial in self._best(_SHOWN)
        )
        head = "<tr><th>trial</th><th>value</th><th>recipe</th></tr>"
        return f"<p>{escape(repr(self))}</p><table>{head}{rows}</table>"

    def _best(self, count: int) -> list[FrozenTrial]:
        with suppress(XaipruneError):  # none has finished, or none keeps the constraints
            return distinct_trials(self, count)
        return []


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
