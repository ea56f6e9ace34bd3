"""From a configuration to what all trials of a search share."""

from __future__ import annotations

import logging
from dataclasses import replace

from torch import nn

from xaiprune.config import Config
from xaiprune.errors import XaipruneError
from xaiprune.session import open_session
from xaiprune.space import Space, read_space, reduce
from xaiprune.study.presets import wanted_presets
from xaiprune.study.racing import WHERE_POSSIBLE, races
from xaiprune.trial import Objective, SearchSetup, objective_of

log = logging.getLogger(__name__)


def open_search(config: Config, network: nn.Module | None = None) -> SearchSetup:
    """Open network and images, and find out what can be searched.

    Args:
        config: What is asked for.
        network: A network that is already there, in place of the ``model`` section's.

    Raises:
        XaipruneError: Something in the configuration does not fit; names the key.
    """
    objective = objective_of(config)
    if config.worker is None:  # else who leads the workers says it
        _say_what_is_not_searched(config)
    check_compatible(config, objective, read_space(config.space, config.attribution))  # before the work
    session = objective.prepared(open_session(config, network))
    # What the space does not list is as in the recipe; factors and references of one recipe suit no other.
    space = read_space(config.space, replace(config.attribution, **session.recipe.attribution))
    rate = objective.rates[0] if len(objective.rates) == 1 else None
    reduced = reduce(space, session, rate=rate, prunes=objective.prunes)
    return SearchSetup(config, session, reduced, objective)


def _say_what_is_not_searched(config: Config) -> None:
    for name, choices in config.space.items():
        if choices is None and getattr(config.prune, name, None) is not None:
            value = str(getattr(config.prune, name)).lower()
            log.info("prune.%s=%s is set, so it is not searched", name, value)


def check_compatible(config: Config, objective: Objective, space: Space) -> None:
    """Refuse settings that exclude each other, or that the search would silently ignore.

    Args:
        config: Of the search.
        objective: As the configuration has it.
        space: As read, before it is reduced to a network.

    Raises:
        XaipruneError: Names the setting that has no effect beside another, and the way out.
    """
    if config.prune.plan is not None:
        raise XaipruneError(
            f"prune.plan={config.prune.plan} is not searched: trials rank units themselves; set "
            "prune.plan=null, and give the plan to 'xaiprune prune'"
        )
    if not objective.prunes:
        _check_without_pruning(config, objective, space)
    if space.rate is not None and objective.cost is None and not objective.constraints:
        raise XaipruneError(
            "space.rate searches the rate, so the lowest would always win; set objective.cost=macs (or "
            "params, latency), or objective.constraints"
        )
    if space.rate is not None and (objective.finds_rate or len(objective.rates) > 1):
        raise XaipruneError(
            f"space.rate searches the rate, and so does objective={objective.name}; leave out one of them"
        )
    wanted_presets(config)
    if races(config.pruner) and not config.pruner.get(WHERE_POSSIBLE) and not objective.can_race:
        what = f"objective.cost={objective.cost}" if objective.cost else f"objective={objective.name}"
        raise XaipruneError(
            f"{what} cannot race: no trial is compared by a running value; set pruner=auto or none"
        )


def _check_without_pruning(config: Config, objective: Objective, space: Space) -> None:
    for key, asked in (
        ("prune.rounds", config.prune.rounds not in (None, 1)),
        ("prune.order", config.prune.order not in (None, "score")),
        ("space.rate", space.rate is not None),
    ):
        if asked:
            raise XaipruneError(f"{key} has no effect with objective={objective.name}: no trial prunes")
    if config.objective.precision != "float32":
        raise XaipruneError(
            f"objective.precision has no effect with objective={objective.name}: heatmaps and logits are "
            "computed in float32; leave it out"
        )
