"""From a configuration to a plan, and from a plan to a smaller network on disk: for `prune` and `export`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xaiprune.config import HUGGING_FACE, Config, is_language
from xaiprune.models import copy_tokenizer, language_path, origin_of
from xaiprune.pruning import ONNX, Plan, architecture_of
from xaiprune.recipe import Recipe
from xaiprune.session import Outcome, PruningSession
from xaiprune.study.notes import typed_now


def configured_plan(config: Config, session: PruningSession) -> tuple[Plan, Recipe | None]:
    """The plan from ``prune.plan``, or that of the session's recipe, and that recipe.

    Raises:
        XaipruneError: The file is no plan or one for another network, or relevance is not finite.
    """
    if config.prune.plan is not None:
        plan = Plan.load(config.prune.plan)
        plan.check(session.units, session.network)
        return plan, None
    return session.plan_for(session.recipe), session.recipe


def saved(
    config: Config,
    session: PruningSession,
    outcome: Outcome,
    folder: Path,
    *,
    onnx: bool = False,
    **about: Any,
) -> Iterator[str]:
    """Write a smaller network.

    Args:
        config: Says which architecture the network is of.
        session: Network, images and units.
        outcome: The network, and what was removed.
        folder: Of the network.
        onnx: Write ``model.onnx``, too.
        about: ``card_name`` and ``further``, as `save_pruned` takes them.

    Yields:
        Lines that say what came of it, as it comes.
    """
    model = config.model
    language = is_language(model)
    name = HUGGING_FACE if language else model.name
    kwargs, replaced = dict(model.kwargs), list[str]()
    if model.pruned is not None:
        name, kwargs, replaced = architecture_of(Path(model.pruned).expanduser())
    origin = origin_of(model, typed_now(config))
    written = outcome.save(
        folder, architecture=name, kwargs=kwargs, replaced=replaced, origin=origin, **about
    )
    if language:
        copy_tokenizer(language_path(model, cache=config.data.cache_dir), written)
    yield from outcome.lines()
    yield f"saved     {written}"
    if onnx:
        difference = outcome.export_onnx(written)
        yield f"onnx      {written / ONNX} (logits differ by {difference:.1e} of the largest)"
