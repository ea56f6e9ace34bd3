"""What all trials of a search share: computed once, before the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xaiprune import models
from xaiprune.attribute import Relevance, Scores, attribute
from xaiprune.attribute.lrp import LayerInfo, trace_layers
from xaiprune.config import Config
from xaiprune.data import Dataset, LabelledImages, Task
from xaiprune.errors import XaipruneError
from xaiprune.evaluate import Accuracy, accuracy
from xaiprune.prune import Plan, make_plan, masked
from xaiprune.search.objective import Objective, objective_of
from xaiprune.search.proposal import Proposal
from xaiprune.search.reduce import reduce
from xaiprune.search.space import Space
from xaiprune.search.space_io import read_space
from xaiprune.units import UnitLayer, find_units


@dataclass(frozen=True)
class Context:
    """Network, images, units, space and objective of a search.

    Attributes:
        config: What was asked for.
        model: In eval mode, on ``device``. No trial changes it.
        dataset: Splits and task; trials see reference and validation only.
        units: What is ranked, in execution order.
        layers: What rules are given to, in execution order.
        space: As reduced to this network.
        objective: What a trial's value is.
        validation: The images that trials are scored on.
        device: Where the model lies.
        network: Fingerprint of the model.
        costs: What each unit costs, for a budget of params or MACs.
    """

    config: Config
    model: nn.Module
    dataset: Dataset
    units: Sequence[UnitLayer]
    layers: Sequence[LayerInfo]
    space: Space
    objective: Objective
    validation: LabelledImages
    device: torch.device
    network: str
    reference_images: Tensor
    costs: Mapping[str, Tensor] | None = None

    @property
    def task(self) -> Task:
        """The classes and their logits."""
        return self.dataset.task

    def relevances(self, proposals: Sequence[Proposal]) -> list[Relevance]:
        """Relevance of the units on the reference images, one forward for all proposals."""
        return attribute(
            self.model,
            self.reference_images,
            self.dataset.reference.labels,
            self.units,
            [proposal.composite for proposal in proposals],
            task=self.task,
            start=[proposal.start for proposal in proposals],
            batch_size=self.config.attribution.batch_size,
        )

    def plan(self, scores: Scores, rate: float) -> Plan:
        """The units that go at a rate, with the configuration's budget, scope and floor."""
        prune = self.config.prune
        return make_plan(
            scores,
            self.units,
            rate,
            budget=prune.budget,
            scope=prune.scope,
            floor=prune.floor,
            costs=self.costs,
            network=self.network,
        )

    def accuracy(self, plan: Plan | None = None) -> Accuracy:
        """Top-1 on the validation images, of the dense network or with a plan's units masked."""
        with masked(self.model, plan if plan is not None else {}, self.units):
            return accuracy(
                self.model,
                self.validation,
                self.task,
                batch_size=self.config.data.batch_size,
                device=self.device,
            )


def open_context(config: Config) -> Context:
    """Open network and images, and find out what can be searched.

    Raises:
        XaipruneError: Something in the configuration does not fit; names the key.
    """
    _check(config)
    objective = objective_of(config)
    space = read_space(config.space, config.attribution)
    opened = models.setup(config.model, config.data, device=config.device, network=_pruned(config))
    example = opened.example()
    units = find_units(
        opened.model, config.units.kind, config.units.include, config.units.exclude, example=example
    )
    layers = trace_layers(opened.model, example)
    reference = opened.data.reference
    images = reference.tensor()
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
            reference.labels,
            units,
            layers,
            task=opened.data.task,
            scope=config.prune.scope,
        ),
        objective=objective,
        validation=limited(opened.data.validation, config.objective.validation_limit, config.data.seed),
        device=opened.device,
        network=models.fingerprint(opened.model),
        reference_images=images,
        costs=_costs(config, opened.model, units, example),
    )


def limited(images: LabelledImages, limit: int | None, seed: int) -> LabelledImages:
    """At most ``limit`` of the images, drawn at random but the same for the same seed."""
    if limit is None or limit >= len(images):
        return images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images.subset(order[:limit].sort().values)


def _check(config: Config) -> None:
    """Refuse what a search would silently leave out."""
    prune = config.prune
    for key, value, plain in (
        ("prune.compensate", prune.compensate, "none"),
        ("prune.bn", prune.bn, "keep"),
        ("prune.coupled", prune.coupled, "mask"),
        ("prune.steps", prune.steps, 1),
        ("prune.plan", prune.plan, None),
    ):
        if value != plain:
            raise XaipruneError(
                f"{key}={value} is not searched: trials mask and measure; set {key}={plain or 'null'}, and "
                "give it to 'xaiprune prune' with the best composite"
            )


def _pruned(config: Config) -> nn.Module | None:
    if config.model.pruned is None:
        return None
    from xaiprune.prune import load_pruned

    return load_pruned(config.model.pruned)


def _costs(
    config: Config, model: nn.Module, units: Sequence[UnitLayer], example: Tensor
) -> Mapping[str, Tensor] | None:
    if config.prune.budget == "units":
        return None
    from xaiprune.units import unit_costs

    return unit_costs(model, units, config.prune.budget, example)
