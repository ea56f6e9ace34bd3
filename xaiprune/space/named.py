"""A search space for a network: one of ours by name, or one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xaiprune.config import AttributionConfig, compose
from xaiprune.recipe import auto_recipe
from xaiprune.session import PruningSession
from xaiprune.space.reader import read_space
from xaiprune.space.reduce import reduce
from xaiprune.space.space import Space


def search_space(
    session: PruningSession,
    space: str | Mapping[str, Any] = "depth_groups",
    *,
    rate: float | None = None,
    prunes: bool = True,
    **attribution: Any,
) -> Space:
    """A space for one's own Optuna loop: what `suggest` asks a trial for.

    Args:
        session: Network, images and units; dimensions that make no difference on them are left out. So are
            those of a named space that ``session.prune`` sets to other values than `auto_recipe` does.
        space: The name of one in ``conf/space`` (``depth_groups``, ``layer_types``, ``per_layer``, ...), or
            plain data as docs/spaces.md describes it.
        rate: The rate that trials are measured at; None: there are several.
        prunes: Whether trials prune; if not, heatmaps count.
        attribution: Keys of the ``attribution`` section, for what the space does not vary; those that are
            left out are as in the session's recipe.

    Raises:
        XaipruneError: There is no such space, or it does not fit the network; names the key.

    Example:
        >>> session = PruningSession.of(model, data, find_units(model, "inner_filters"))
        >>> space = search_space(session, "depth_groups", rate=0.5)
        >>> def objective(trial):
        ...     recipe = suggest(trial, space)
        ...     plan = session.plan_for(recipe, rate=0.5)
        ...     return session.accuracy(session.under(recipe).pruned(plan)).top1
    """
    data = space if isinstance(space, Mapping) else compose("search", [f"space={space}"]).space
    if isinstance(space, str):
        auto = auto_recipe(session.model, session.units, session.example).prune
        fixed = [name for name in data if name in auto and getattr(session.prune, name) != auto[name]]
        data = {name: value for name, value in data.items() if name not in fixed}
    settings = AttributionConfig(**{**session.recipe.attribution, **attribution})
    return reduce(read_space(data, settings), session, rate=rate, prunes=prunes)
