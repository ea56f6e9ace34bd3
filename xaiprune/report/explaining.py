"""How well a study's composites explain the network, beside how well they prune it."""

from __future__ import annotations

import logging

import optuna
import pandas as pd
from optuna.trial import TrialState

from xaiprune.attribution.lrp.composite_io import composite_to_dict
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import Faithfulness
from xaiprune.progress import progress
from xaiprune.session import PruningSession
from xaiprune.study import recipe_of
from xaiprune.trial.objectives.faithfulness import explained

log = logging.getLogger(__name__)


def faithfulness(study: optuna.Study, session: PruningSession) -> pd.DataFrame:
    """Patch flipping of the heatmaps of every finished trial's composite, on the validation images.

    It costs some 25 forwards of each image for every composite; ``objective.validation_limit`` limits the
    images. Trials with the same composite and start have the same heatmaps (aggregation has no effect on
    them), which are computed once.

    Args:
        study: Of any objective.
        session: Its network and images (`xaiprune.study.open_search(config).session`).

    Returns:
        One row a finished trial, in their order: ``number``; ``preset``; ``value`` (the study's);
        ``faithfulness`` (area between the curves, in logits, higher is better) with its 95 % interval
        ``low`` to ``high`` over images; NaN where heatmaps are not finite.

    Example:
        >>> frame = faithfulness(study, session)
        >>> frame.value.corr(frame.faithfulness, method="spearman")
    """
    found: dict[str, Faithfulness | None] = {}
    rows = []
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    for trial in progress(trials, "flipping patches"):
        recipe = recipe_of(trial)
        key = f"{composite_to_dict(recipe.composite.renamed(''))} {recipe.start}"
        if key not in found:
            try:
                found[key] = explained(session, recipe)
            except XaipruneError as error:
                log.info("trial %d: %s", trial.number, error)
                found[key] = None
        of = found[key]
        low, high = (float("nan"), float("nan")) if of is None else of.interval()
        rows.append(
            {
                "number": trial.number,
                "preset": trial.user_attrs.get("preset"),
                "value": trial.values[0],
                "faithfulness": float("nan") if of is None else of.area,
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)
