"""From a configuration to a plan, and from a plan to a smaller network on disk: for `prune` and `export`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from xaiprune.config import Config, search_conditions
from xaiprune.pruning import ONNX, Plan, architecture_of
from xaiprune.recipe import configured_recipe
from xaiprune.session import PruningSession, apply_and_measure

log = logging.getLogger(__name__)


def configured_plan(config: Config, session: PruningSession) -> Plan:
    """The plan from ``prune.plan``, or from the configured recipe.

    Raises:
        XaipruneError: The file is no plan or one for another network, or relevance is not finite.
    """
    if config.prune.plan is not None:
        plan = Plan.load(config.prune.plan)
        plan.check(session.units, session.network)
        return plan
    _warn_of_other_conditions(config)
    return session.plan_for(configured_recipe(config), config.prune.rate)


def saved(
    config: Config, session: PruningSession, plan: Plan, folder: Path | None, *, onnx: bool = False
) -> Iterator[str]:
    """Apply a plan, measure before and after, and write the smaller network.

    Args:
        config: Says which architecture the network is of.
        session: Network, images and units.
        plan: What is removed.
        folder: Of the network; None: one in ``outputs`` that is named after network, units and rate.
        onnx: Write ``model.onnx``, too.

    Yields:
        Lines that say what came of it, as it comes.
    """
    outcome = apply_and_measure(session, plan)
    model = config.model
    name, kwargs, replaced = model.name, dict(model.kwargs), list[str]()
    if model.pruned is not None:
        name, kwargs, replaced = architecture_of(Path(model.pruned).expanduser())
    folder = folder or Path("outputs") / f"{name}-{session.unit_kind}-{plan.rate:g}"
    written = outcome.save(folder, architecture=name, kwargs=kwargs, replaced=replaced)
    yield from outcome.lines()
    yield f"saved     {written}"
    if onnx:
        difference = outcome.export_onnx(written)
        yield f"onnx      {written / ONNX} (largest difference of logits {difference:.1e})"


def _warn_of_other_conditions(config: Config) -> None:
    """Say it where a study's recipe is not used as it was searched: it may be good for nothing else."""
    file = config.composite.file
    if file is None:
        return
    differ = {
        key: value for key, value in search_conditions(file).items() if getattr(config.prune, key) != value
    }
    if differ:
        searched = ", ".join(f"prune.{key}={value}" for key, value in differ.items())
        now = ", ".join(f"{key} {getattr(config.prune, key)}" for key in differ)
        log.warning("%s was searched with %s; here it is %s", file, searched, now)
