"""Settings that do not go together in a search."""

from __future__ import annotations

from xaiprune.config import Config
from xaiprune.errors import XaipruneError
from xaiprune.space.space import Space
from xaiprune.trial.objective import Objective


def check_fits(config: Config, objective: Objective, space: Space) -> None:
    """Refuse what a search would silently leave out.

    Args:
        config: Of the search.
        objective: As the configuration has it.
        space: As read, before it is reduced to a network.

    Raises:
        XaipruneError: Names the setting that says nothing beside another, and the way out.
    """
    if config.prune.plan is not None:
        raise XaipruneError(
            f"prune.plan={config.prune.plan} is not searched: trials rank units themselves; set "
            "prune.plan=null, and give the plan to 'xaiprune prune'"
        )
    for key, asked in (
        ("prune.rounds", config.prune.rounds > 1),
        ("prune.order", config.prune.order != "score"),
        ("space.rate", space.rate is not None),
    ):
        if asked and objective.explains:
            raise XaipruneError(f"{key} says nothing with objective={objective.name}: no trial prunes")
    if space.rate is not None and objective.cost is None and not objective.constraints:
        raise XaipruneError(
            "space.rate searches the rate, so the lowest would always win; set objective.cost=macs (or "
            "params, latency), or objective.constraints"
        )
    if space.rate is not None and (objective.bisects or len(objective.rates) > 1):
        raise XaipruneError(
            f"space.rate searches the rate, and so does objective={objective.name}; leave out one of them"
        )
    if objective.explains and config.objective.precision != "float32":
        raise XaipruneError(
            f"objective.precision says nothing with objective={objective.name}: heatmaps and logits stay in "
            "float32; leave it out"
        )
    racing = str(config.pruner.get("_target_", "")).rpartition(".")[2] != "NopPruner"
    if racing and (objective.cost is not None or objective.bisects or objective.explains):
        what = f"objective.cost={objective.cost}" if objective.cost else f"objective={objective.name}"
        raise XaipruneError(f"{what} cannot race: no trial is compared by a running value; set pruner=none")
