"""The composite and the aggregation that a configuration asks for."""

from __future__ import annotations

from typing import cast

from xaiprune.attribute.attribution import Start
from xaiprune.attribute.lrp.composite import Composite
from xaiprune.attribute.lrp.composite_io import load_composite
from xaiprune.attribute.presets import PRESETS
from xaiprune.attribute.relevance import Aggregation
from xaiprune.config import AttributionConfig, CompositeConfig, did_you_mean
from xaiprune.errors import XaipruneError


def chosen_composite(config: CompositeConfig) -> Composite:
    """``composite.file`` if there is one, else ``composite.preset`` (epsilon where neither is given).

    Only rules come from here; start and aggregation are the ``attribution`` section's.

    Raises:
        XaipruneError: Unknown preset, or a file that is no composite.
    """
    if config.file is not None:
        return load_composite(config.file)
    name = config.preset or "epsilon"
    if name not in PRESETS:
        raise XaipruneError(f"composite.preset: there is no preset '{name}'{did_you_mean(name, PRESETS)}")
    return PRESETS[name].composite


def chosen_aggregation(config: AttributionConfig) -> Aggregation:
    """The ``attribution`` section's aggregation."""
    return Aggregation(config.aggregate, config.image_weight, config.normalize)  # type: ignore[arg-type]


def chosen_start(config: AttributionConfig) -> Start:
    """The ``attribution`` section's start, which the schema has checked."""
    return cast(Start, config.start)
