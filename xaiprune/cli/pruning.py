"""From a configuration to a plan and a smaller network on disk: what `prune` and `export` share."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from xaiprune.attribution import Relevance, Scores
from xaiprune.attribution.lrp import LayerInfo, trace_layers
from xaiprune.cli.evaluate import open_setup
from xaiprune.config import Config, searched_with
from xaiprune.evaluation import Accuracy, Cost, accuracy, cost
from xaiprune.models import Setup, fingerprint
from xaiprune.pruning import (
    JointOrder,
    Plan,
    Rank,
    Removal,
    apply_plan,
    architecture_of,
    compensate,
    couple,
    export_onnx,
    iterative_plan,
    joint_rank,
    save_pruned,
    statistics_of,
)
from xaiprune.recipe.configured import chosen_recipe
from xaiprune.recipe.ranking import relevances_of, scores_of
from xaiprune.units import UnitLayer, find_units, unit_costs

log = logging.getLogger(__name__)
_BATCHES = (1, 32)
_SECONDS = 0.5  # to time each for


@dataclass(frozen=True)
class Pruning:
    """What one run of a task works on.

    Attributes:
        config: Says how units are ranked, how many go, and what is done about the loss.
        opened: Network and images.
        units: The network's, in execution order.
        images: (N, 3, H, W) reference images, normalised, on the network's device.
        network: Fingerprint of the network.
    """

    config: Config
    opened: Setup
    units: Sequence[UnitLayer]
    images: Tensor
    network: str

    @classmethod
    def of(cls, config: Config) -> Pruning:
        """Open network and images.

        Raises:
            XaipruneError: They do not fit, or the network has no such units.
        """
        opened, settings = open_setup(config), config.units
        model, example = opened.model, opened.example()
        units = find_units(model, settings.kind, settings.include, settings.exclude, example=example)
        images = opened.data.reference.tensor(slice(None), opened.device)
        return cls(config, opened, units, images, fingerprint(model))

    @cached_property
    def layers(self) -> Sequence[LayerInfo]:
        """The network's layers that rules are given to."""
        return trace_layers(self.opened.model, self.opened.example())

    def plan(self, rank: Rank | None = None) -> Plan:
        """The plan from the file, or from a ranking.

        Args:
            rank: Scores of the units of a network; None: by the configured recipe.

        Raises:
            XaipruneError: The file is no plan or one for another network, or relevance is not finite.
        """
        prune, model = self.config.prune, self.opened.model
        if prune.plan is not None:
            plan = Plan.load(prune.plan)
            plan.check(self.units, self.network)
            return plan
        self._warn_of_other_conditions()
        example = self.opened.example()
        costs = None if prune.budget == "units" else unit_costs(model, self.units, prune.budget, example)
        return iterative_plan(
            model,
            self.units,
            prune.rate,
            self._in_order(rank or self.scores),
            prune.rounds,
            self.compensated,
            budget=prune.budget,
            scope=prune.scope,
            min_units=prune.min_units,
            costs=costs,
            network=self.network,
            groups=couple(model, self.units, example) if prune.coupled == "group" else (),
        )

    def _warn_of_other_conditions(self) -> None:
        """Say it where a study's recipe is not used as it was searched: it may be good for nothing else."""
        file, prune = self.config.composite.file, self.config.prune
        if file is None:
            return
        differ = {key: value for key, value in searched_with(file).items() if getattr(prune, key) != value}
        if differ:
            searched = ", ".join(f"prune.{key}={value}" for key, value in differ.items())
            now = ", ".join(f"{key} {getattr(prune, key)}" for key in differ)
            log.warning("%s was searched with %s; here it is %s", file, searched, now)

    def _in_order(self, rank: Rank) -> Rank:
        """The ranking, with units leaving as ``prune.order`` says."""
        prune, model = self.config.prune, self.opened.model
        if prune.order == "score":
            return rank
        statistics = statistics_of(model, self.units, self.images, self.config.data.batch_size)
        return joint_rank(rank, JointOrder.of(model, self.units, statistics, prune.compensate))

    def scores(self, model: nn.Module) -> Scores:
        """The units of a network ranked by the configured recipe."""
        return self.scores_of(self.relevance(model))

    def relevance(self, model: nn.Module) -> Relevance:
        """Of the units of a network, for each reference image that the recipe uses."""
        (found,) = relevances_of(
            model,
            self.images,
            self.opened.data.reference.labels.to(self.images.device),
            self.units,
            [chosen_recipe(self.config)],
            task=self.opened.data.task,
            batch_size=self.config.attribution.batch_size,
        )
        return found

    def scores_of(self, relevance: Relevance) -> Scores:
        """One number a unit, as the configured recipe aggregates relevance."""
        return scores_of(relevance, chosen_recipe(self.config), self.units, self.layers)

    def compensated(self, plan: Plan) -> nn.Module:
        """The dense network compensated for a plan."""
        prune, model = self.config.prune, self.opened.model
        if prune.compensate == "none":
            return model
        return compensate(
            model,
            plan,
            self.units,
            self.images,
            prune.compensate,
            sequential=prune.sequential,
            batch_size=self.config.data.batch_size,
        )

    def carried_out(self, plan: Plan) -> Removal:
        """The smaller network."""
        prune = self.config.prune
        return apply_plan(
            self.opened.model,
            plan,
            self.units,
            self.images,
            self.opened.example(),
            compensate=prune.compensate,
            sequential=prune.sequential,
            coupled=prune.coupled,
            bn=prune.bn,
            batch_size=self.config.data.batch_size,
        )

    def saved(self, plan: Plan, folder: Path | None, *, onnx: bool = False) -> Iterator[str]:
        """Carry out a plan, measure before and after, and write the smaller network.

        Args:
            plan: What goes.
            folder: Of the network; None: one in ``outputs`` that is named after network, units and rate.
            onnx: Write ``model.onnx``, too.

        Yields:
            Lines that say what came of it, as it comes.
        """
        config, model, example = self.config, self.opened.model, self.opened.example()
        result = self.carried_out(plan)
        before, after = _measure(self.opened, model, config), _measure(self.opened, result.model, config)
        written = _save(config, plan, result, before, after, folder)
        yield f"network   {config.model.pruned or config.model.name}, {plan.n_units} {plan.kind}"
        yield f"plan      {plan.n_removed} units go (rate {plan.rate:g} of {plan.budget})"
        yield from (f"          {line}" for line in result.summary().splitlines())
        yield from (f"{name:<34} {value}" for name, value in _numbers(before, after).items())
        yield f"saved     {written}"
        if onnx:
            difference = export_onnx(result.model.cpu(), example.cpu(), written)
            yield f"onnx      {written / 'model.onnx'} (largest difference of logits {difference:.1e})"


def _measure(opened: Setup, model: nn.Module, config: Config) -> tuple[Accuracy, Cost]:
    found = accuracy(model, opened.data.test, opened.data.task, config.data.batch_size, opened.device)
    return found, cost(model, opened.example(), _BATCHES, _SECONDS)


def _numbers(before: tuple[Accuracy, Cost], after: tuple[Accuracy, Cost]) -> dict[str, str]:
    """Name -> dense -> pruned, as text."""
    (dense, full), (pruned, small) = before, after
    numbers = {
        "top-1 on the test split": f"{dense} -> {pruned}",
        "parameters": f"{full.params:,} -> {small.params:,} (x{small.params / full.params:.2f})",
        "MACs of one image": f"{full.macs:,} -> {small.macs:,} (x{small.macs / full.macs:.2f})",
        "bytes": f"{full.bytes:,} -> {small.bytes:,}",
    }
    for slow, fast in zip(full.latency, small.latency, strict=True):
        numbers[f"latency, batch {slow.batch}"] = f"{slow} -> {fast} (x{fast.median / slow.median:.2f})"
    return numbers


def _save(
    config: Config,
    plan: Plan,
    result: Removal,
    before: tuple[Accuracy, Cost],
    after: tuple[Accuracy, Cost],
    folder: Path | None,
) -> Path:
    model, prune = config.model, config.prune
    name, kwargs, replaced = model.name, dict(model.kwargs), list(result.replaced)
    if model.pruned is not None:
        name, kwargs, earlier = architecture_of(Path(model.pruned).expanduser())
        replaced = [*earlier, *replaced]
    default = Path("outputs") / f"{name}-{config.units.kind}-{plan.rate:g}"
    notes = [
        f"Compensation: {prune.compensate}{', layer by layer' if prune.sequential else ', at once'}; "
        f"BatchNorm: {prune.bn}; rounds: {prune.rounds}; order: {prune.order}.",
        *result.summary().splitlines(),
    ]
    return save_pruned(
        result.model,
        folder or default,
        architecture=name,
        kwargs=kwargs,
        plan=plan,
        replaced=replaced,
        numbers=_numbers(before, after),
        notes=notes,
    )
