"""The recipe for scores that a configuration asks for, as one proposal."""

from __future__ import annotations

from typing import Any

from xaiprune.attribute import Aggregation
from xaiprune.attribute.chosen import chosen_aggregation, chosen_composite, chosen_start
from xaiprune.attribute.lrp import load_composite
from xaiprune.config import AttributionConfig, Config, stored_recipe
from xaiprune.errors import XaipruneError
from xaiprune.search.proposal import Proposal


def chosen_proposal(config: Config) -> Proposal:
    """Composite, start, aggregation, scale and references of the configuration.

    Scope, compensation and rate are the ``prune`` section's, where a composite file's own have gone, too.

    Raises:
        XaipruneError: Unknown preset, or a file that is no composite.
    """
    settings = config.attribution
    return Proposal(
        chosen_composite(config.composite),
        chosen_start(settings),
        chosen_aggregation(settings),
        scale=dict(settings.scale),
        references=settings.references,
    )


def proposal_of_file(path: str, attribution: AttributionConfig) -> Proposal:
    """What a composite file proposes; where it has no recipe of its own, that of the ``attribution`` section.

    Raises:
        XaipruneError: It is no composite, or its recipe has a value that is not allowed.
    """
    recipe: dict[str, Any] = {
        "start": attribution.start,
        "aggregate": attribution.aggregate,
        "image_weight": attribution.image_weight,
        "normalize": attribution.normalize,
    }
    recipe |= stored_recipe(path)
    mode, weight, normalize = (recipe.pop(key) for key in ("aggregate", "image_weight", "normalize"))
    try:
        aggregation = Aggregation(mode, weight, normalize)
        return Proposal(load_composite(path), recipe.pop("start"), aggregation, **recipe)
    except (XaipruneError, TypeError) as error:
        raise XaipruneError(f"{path}: {error}") from None
