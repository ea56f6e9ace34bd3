"""The recipe for scores that a configuration asks for, as one proposal."""

from __future__ import annotations

from xaiprune.attribute.chosen import chosen_aggregation, chosen_composite, chosen_start
from xaiprune.config import Config
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
