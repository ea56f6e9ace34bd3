"""What all trials of a search share: computed once, before the first."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.attribute import Relevance, Scores
from xaiprune.attribute.lrp import LayerInfo
from xaiprune.config import Config
from xaiprune.data import Dataset, LabelledImages, Task
from xaiprune.evaluate import Accuracy, Cost, Precision, accuracy, cost
from xaiprune.prune import (
    DenseSamples,
    JointOrder,
    Plan,
    Rank,
    Statistics,
    carry_out,
    compensate,
    iterative_plan,
    joint_rank,
    make_plan,
    masked,
    samples_of,
    statistics_of,
)
from xaiprune.search.objective import Objective
from xaiprune.search.proposal import Proposal, Source
from xaiprune.search.ranking import relevances_of, scores_of
from xaiprune.search.space import Space
from xaiprune.units import UnitLayer

log = logging.getLogger(__name__)

# To make a network smaller takes a second or so; below this many MACs in all, masking it is over sooner.
_WORTH_REMOVING = 2e11
_LATENCY_BATCH = 32
_SMALL = 4e7  # MACs of one image
# What compensation layer by layer needs of the dense network stays in memory up to here.
_SHARED_SAMPLES = 1 << 30


@dataclass(frozen=True)
class Pruned:
    """A network with a plan carried out, ready to be measured.

    Attributes:
        model: The smaller network, or the dense one, to be masked.
        mask: Unit layer -> units that have to be masked in it.
    """

    model: nn.Module
    mask: Mapping[str, Sequence[int]] | None = None


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
        reference_images: (N, 3, H, W), normalised, on ``device``.
        costs: What each unit costs, for a budget of params or MACs.
        groups: Unit layers that share their channels, with ``prune.coupled=group``.
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
    groups: Sequence[Sequence[str]] = ()

    @property
    def task(self) -> Task:
        """The classes and their logits."""
        return self.dataset.task

    def relevances(self, proposals: Sequence[Proposal]) -> list[Relevance]:
        """Relevance of the units on the reference images, one forward for all proposals.

        (One for each number of references that they ask for.) What the last call gave is not computed again:
        in a space that varies only how relevance is ranked, all trials share theirs.
        """
        last = dict(self._last)
        new = [proposal for proposal in proposals if proposal.source not in last]
        if new:
            found = self._relevances(self.model, new)
            last |= {proposal.source: relevance for proposal, relevance in zip(new, found, strict=True)}
        self._last.clear()
        self._last.update({proposal.source: last[proposal.source] for proposal in proposals})
        return [last[proposal.source] for proposal in proposals]

    def _relevances(self, model: nn.Module, proposals: Sequence[Proposal]) -> list[Relevance]:
        return relevances_of(
            model,
            self.reference_images,
            self.dataset.reference.labels.to(self.device),
            self.units,
            proposals,
            task=self.task,
            batch_size=self.config.attribution.batch_size,
        )

    def ranker(self, proposal: Proposal) -> Rank:
        """What a recipe makes of a network that is pruned in part."""

        def rank(model: nn.Module) -> Scores:
            (relevance,) = self._relevances(model, [proposal])
            return scores_of(relevance, proposal, self.units, self.layers)

        return rank

    def plan(
        self,
        scores: Scores,
        rate: float,
        scope: str | None = None,
        *,
        again: Rank | None = None,
        compensate: str | None = None,
        order: str | None = None,
    ) -> Plan:
        """The units that go at a rate, as the ``prune`` section says.

        Args:
            scores: Of the dense network's units.
            rate: Fraction removed.
            scope: In place of ``prune.scope``.
            again: Ranks the pruned network in each further round of ``prune.steps``; None: the scores hold
                for it, too.
            compensate: In place of ``prune.compensate``, between the rounds.
            order: In place of ``prune.order``.
        """
        prune = self.config.prune
        method = compensate or prune.compensate
        options: dict[str, Any] = {
            "budget": prune.budget,
            "scope": scope or prune.scope,
            "floor": prune.floor,
            "costs": self.costs,
            "network": self.network,
            "groups": self.groups,
        }
        if (order or prune.order) == "joint":
            scores = self._jointly(scores, method)
            again = None if again is None else joint_rank(again, self._joint_order(method))
        if again is None:
            return make_plan(scores, self.units, rate, **options)
        compensator = None if method == "none" else lambda plan: self._compensated(plan, method)
        return iterative_plan(
            self.model, self.units, rate, again, prune.steps, compensator, scores, **options
        )

    def _jointly(self, scores: Scores, method: str) -> Scores:
        """Scores in the joint order; those of the last call are not ordered again for another rate."""
        if not any(of is scores and how == method for of, how, _ in self._last_ordered):
            self._last_ordered[:] = [(scores, method, self._joint_order(method).scores(scores))]
        return self._last_ordered[0][2]

    def _joint_order(self, method: str) -> JointOrder:
        if method not in self._joint_orders:
            self._joint_orders[method] = JointOrder.of(self.model, self.units, self.statistics, method)
        return self._joint_orders[method]

    def plan_of(self, proposal: Proposal, scores: Scores, rate: float) -> Plan:
        """As `plan`, with a recipe's scope, compensation, order and further rounds, and its scores."""
        return self.plan(
            scores,
            rate,
            proposal.scope,
            again=self.ranker(proposal),
            compensate=proposal.compensate,
            order=proposal.order,
        )

    def plan_key(self, plan: Plan, compensate: str | None = None) -> str:
        """Equal for plans whose networks give the same answers: what goes, and how it is made up for."""
        method = compensate or self.config.prune.compensate
        return plan.hash if method == "none" or not plan.n_removed else f"{plan.hash} {method}"

    def pruned(
        self,
        plan: Plan,
        compensate: str | None = None,
        *,
        smaller: bool | None = None,
        images: int | None = None,
    ) -> Pruned:
        """Carry out a plan as the configuration's ``prune`` section says.

        Args:
            plan: What goes.
            compensate: In place of ``prune.compensate``.
            smaller: Whether the tensors shrink; None: where that is sooner over than masking.
            images: How many will be classified, at most; None: all validation images.
        """
        prune = self.config.prune
        method = compensate or prune.compensate
        plain = method == "none" and prune.bn == "keep"
        if not plan.n_removed:
            return Pruned(self.model)
        if smaller is None:
            count = len(self.validation) if images is None else images
            smaller = not plain or self.dense_cost.macs * count > _WORTH_REMOVING
        if not smaller:
            return Pruned(self.model, plan.removed)
        return Pruned(
            carry_out(
                self.model,
                plan,
                self.units,
                self.reference_images,
                compensate=method,
                **self._known(method),
                coupled=prune.coupled,
                bn=prune.bn,
                batch_size=self.config.data.batch_size,
                check=False,  # the masked network would have to run beside it in every trial
            ).model
        )

    def _compensated(self, plan: Plan, method: str) -> nn.Module:
        """The dense network with a plan's units made up for, before they go."""
        images, size = self.reference_images, self.config.data.batch_size
        return compensate(
            self.model, plan, self.units, images, method, batch_size=size, **self._known(method)
        )

    def _known(self, method: str) -> dict[str, Any]:
        """How compensation goes about it, with what it needs of the dense network."""
        sequential = self.config.prune.sequential
        return {
            "sequential": sequential,
            "statistics": None if method == "none" or sequential else self.statistics,
            "dense": None if method == "none" or not sequential else self.dense_samples,
        }

    def accuracy(
        self,
        pruned: Pruned | None = None,
        images: LabelledImages | None = None,
        *,
        precision: Precision = "float32",
    ) -> Accuracy:
        """Top-1 of the dense or a pruned network.

        Args:
            pruned: As `pruned` makes it; None: the dense network.
            images: None: all validation images.
            precision: Of the forward; `precision` is that of the trials.
        """
        with self._entered(pruned or Pruned(self.model)) as model:
            return accuracy(
                model,
                self.validation if images is None else images,
                self.task,
                batch_size=self.config.data.batch_size,
                device=self.device,
                precision=precision,
            )

    @property
    def precision(self) -> Precision:
        """Of the networks that trials classify with."""
        return "bfloat16" if self.config.objective.precision == "bfloat16" else "float32"

    @contextmanager
    def _entered(self, pruned: Pruned) -> Iterator[nn.Module]:
        if pruned.mask is None:
            yield pruned.model
        else:
            with masked(pruned.model, pruned.mask, self.units):
                yield pruned.model

    def cost_of(self, plan: Plan, pruned: Pruned) -> dict[str, float]:
        """The objective's costs of the smaller network, as parts of the dense one's."""
        if not self.objective.costs:
            return {}
        if pruned.mask is not None:
            pruned = self.pruned(plan, "none", smaller=True)
        dense, now = self.dense_cost, self._cost(pruned.model)
        parts = {"params": now.params / dense.params, "macs": now.macs / dense.macs}
        if dense.latency:
            parts["latency"] = now.latency[0].median / dense.latency[0].median
        return {name: parts[name] for name in self.objective.costs}

    def _cost(self, model: nn.Module) -> Cost:
        batches = (_LATENCY_BATCH,) if "latency" in self.objective.costs else ()
        return cost(model, self.reference_images[:1], batches, min_seconds=0.5)

    @cached_property
    def dense(self) -> Accuracy:
        """Top-1 of the dense network on the validation images, as trials measure it."""
        return self.accuracy(precision=self.precision)

    @cached_property
    def _last(self) -> dict[Source, Relevance]:
        return {}

    @cached_property
    def _last_ordered(self) -> list[tuple[Scores, str, Scores]]:
        return []

    @cached_property
    def _joint_orders(self) -> dict[str, JointOrder]:
        return {}

    @cached_property
    def dense_cost(self) -> Cost:
        """Of the dense network."""
        return self._cost(self.model)

    @property
    def is_small(self) -> bool:
        """Whether one CPU thread is as good as several (the digits networks, for example)."""
        return self.device.type == "cpu" and self.dense_cost.macs < _SMALL

    @cached_property
    def statistics(self) -> Statistics:
        """What compensation needs of the dense network, from one pass over the reference images."""
        return statistics_of(self.model, self.units, self.reference_images, self.config.data.batch_size)

    @cached_property
    def dense_samples(self) -> DenseSamples | None:
        """As `statistics`, for compensation layer by layer; None where memory would not do for it."""
        return samples_of(
            self.model,
            self.units,
            self.reference_images,
            self.config.data.batch_size,
            at_most=_SHARED_SAMPLES,
        )

    def with_smaller_batches(self) -> Context:
        """The same with half as many images in a pass; for a machine whose memory did not do."""
        config = self.config
        return replace(
            self,
            config=replace(
                config,
                attribution=replace(
                    config.attribution, batch_size=max(1, config.attribution.batch_size // 2)
                ),
                data=replace(config.data, batch_size=max(1, config.data.batch_size // 2)),
            ),
        )
