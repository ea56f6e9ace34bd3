"""From a configuration to what all trials of a search share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from xaiprune import models
from xaiprune.attribution.lrp import trace_layers
from xaiprune.config import Config
from xaiprune.data import LabelledImages
from xaiprune.pruning import couple, load_pruned
from xaiprune.session.session import Context
from xaiprune.space.reader import read_space
from xaiprune.space.reduce import reduce
from xaiprune.study.compatibility import check_fits
from xaiprune.trial.objective import objective_of
from xaiprune.units import UnitLayer, find_units, unit_costs


def open_context(config: Config, network: nn.Module | None = None) -> Context:
    """Open network and images, and find out what can be searched.

    Args:
        config: What is asked for.
        network: A network that is already there, in place of the ``model`` section's.

    Raises:
        XaipruneError: Something in the configuration does not fit; names the key.
    """
    objective = objective_of(config)
    space = read_space(config.space, config.attribution)
    check_fits(config, objective, space)
    given = _pruned(config) if network is None else network
    device = models.device_of_worker(config.device, config.worker)
    opened = models.setup(config.model, config.data, device=device, network=given)
    example = opened.example()
    units = find_units(
        opened.model, config.units.kind, config.units.include, config.units.exclude, example=example
    )
    layers = trace_layers(opened.model, example)
    reference = opened.data.reference
    images = reference.tensor(device=opened.device)
    return Context(
        config=config,
        model=opened.model,
        dataset=opened.data,
        units=units,
        layers=layers,
        space=reduce(
            space,
            opened.model,
            images,
            reference.labels.to(opened.device),
            units,
            layers,
            task=opened.data.task,
            scope=config.prune.scope,
            compensate=config.prune.compensate,
            order=config.prune.order,
            rate=objective.rates[0] if len(objective.rates) == 1 else None,
            coupled=config.prune.coupled == "group",
            explains=objective.explains,
        ),
        objective=objective,
        validation=shuffled(
            limited(opened.data.validation, config.objective.validation_limit, config.data.seed),
            config.data.seed,
        ),
        device=opened.device,
        network=models.fingerprint(opened.model),
        reference_images=images,
        costs=_costs(config, opened.model, units, example),
        groups=couple(opened.model, units, example) if config.prune.coupled == "group" else (),
    )


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


def _pruned(config: Config) -> nn.Module | None:
    if config.model.pruned is None:
        return None
    return load_pruned(config.model.pruned)


def _costs(
    config: Config, model: nn.Module, units: Sequence[UnitLayer], example: Tensor
) -> Mapping[str, Tensor] | None:
    if config.prune.budget == "units":
        return None
    return unit_costs(model, units, config.prune.budget, example)
