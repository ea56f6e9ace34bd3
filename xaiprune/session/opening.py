"""From a configuration to a session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from xaiprune import models
from xaiprune.config import Config, is_file_name
from xaiprune.data import LabelledImages, load_calibration, warn_of_seen
from xaiprune.errors import XaipruneError
from xaiprune.pruning import load_pruned
from xaiprune.recipe import asked_recipe, configured_recipe
from xaiprune.session.caches import BatchSizes
from xaiprune.session.session import PruningSession
from xaiprune.units import AUTO, UnitLayer, auto_kind, find_units


def open_setup(config: Config, network: nn.Module | None = None) -> models.Setup:
    """Network and images, also where the network is a pruned one.

    Args:
        config: What is asked for.
        network: A network that is already there, in place of the ``model`` section's.

    Raises:
        XaipruneError: They cannot be opened, or do not fit; names the key.
    """
    if network is None and config.model.pruned is not None:
        network = load_pruned(Path(config.model.pruned).expanduser())
    device = models.device_of_worker(config.device, config.worker)
    return models.setup(config.model, config.data, device=device, network=network)


def open_session(config: Config, network: nn.Module | None = None) -> PruningSession:
    """Open network and images, and find the units.

    Args:
        config: What is asked for.
        network: A network that is already there, in place of the ``model`` section's.

    Raises:
        XaipruneError: Something in the configuration does not fit; names the key.
    """
    asked_recipe(config.recipe)  # a mistake shows before the work
    opened, seed = open_setup(config, network), config.data.seed
    kind, units = opened_units(config, opened)
    validation = limited(opened.data.validation, config.objective.validation_limit, seed)
    session = PruningSession.of(
        opened.model,
        opened.data,
        units,
        name=config.model.pruned or Path(config.model.path or config.model.name).name,
        unit_kind=kind,
        recipe=configured_recipe(config, opened.model, units, opened.example()),
        prune=config.prune,
        batch=BatchSizes(config.attribution.batch_size, config.data.batch_size),
        target=config.attribution.target,
        calibration=_calibration(config, opened),
    )
    return replace(session, validation=shuffled(validation, seed))


def opened_units(config: Config, opened: models.Setup) -> tuple[str, list[UnitLayer]]:
    """The unit kind that is meant, and the network's units of it.

    Args:
        config: Its ``units`` section counts.
        opened: Network and images.

    Raises:
        XaipruneError: The network has none, or a pattern matches nothing.
    """
    settings, example = config.units, opened.example()
    try:
        kind = auto_kind(opened.model, example) if settings.kind == AUTO else settings.kind
        return kind, find_units(opened.model, kind, settings.include, settings.exclude, example=example)
    except XaipruneError as error:
        where = f"recipe={config.recipe}: " if is_file_name(config.recipe) else ""  # it may say the kind
        raise XaipruneError(f"{where}{error}") from None


def _calibration(config: Config, opened: models.Setup) -> LabelledImages | None:
    """The pictures in ``prune.calibration_root``, prepared like the others."""
    root = config.prune.calibration_root
    if root is None:
        return None
    if opened.preprocess is None:
        raise XaipruneError(
            f"prune.calibration_root has pictures, and data={config.data.source} has none; take more "
            "references"
        )
    images = load_calibration(root, config.data, opened.preprocess, config.prune.calibration_images)
    warn_of_seen(images, opened.data)
    return images


def limited(images: LabelledImages, limit: int | None, seed: int) -> LabelledImages:
    """At most ``limit`` of the images, drawn at random but the same for the same seed."""
    if limit is None or limit >= len(images):
        return images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images.subset(order[:limit].sort().values)


def shuffled(images: LabelledImages, seed: int) -> LabelledImages:
    """The images in an order that has nothing to do with their classes, the same for the same seed.

    So each chunk of them is a fair sample, which racing needs.
    """
    return images.subset(torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)))
