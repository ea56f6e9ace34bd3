"""One network, its images and units, and all that recipes compute on them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from xaiprune.attribution import Relevance, Scores
from xaiprune.attribution.lrp import LayerInfo, trace_layers
from xaiprune.config import CompletePruneConfig, PruneConfig
from xaiprune.data import Dataset, LabelledImages, Task
from xaiprune.evaluation import Accuracy, Cost, Precision, accuracy, cost
from xaiprune.forward import Inputs, part_of
from xaiprune.models import fingerprint
from xaiprune.pruning import (
    JOINT,
    Plan,
    Rank,
    Removal,
    apply_plan,
    compensate,
    iterative_plan,
    make_plan,
    masked,
    per_cost,
)
from xaiprune.recipe import (
    Asked,
    Recipe,
    check_fits,
    complete_prune,
    complete_recipe,
    pruning_as,
    relevances_of,
)
from xaiprune.session.caches import BatchSizes, Caches, DenseNetwork, Ordering, Scale
from xaiprune.session.labels import with_targets
from xaiprune.session.pruned import Pruned
from xaiprune.units import UnitLayer, device_of

# To make a network smaller takes a second or so; below this many MACs in all, masking it is over sooner.
_WORTH_REMOVING = 2e11


@dataclass(repr=False)
class PruningSession:
    """Network, data, units and caches: scores, plans, compensation, removal, accuracy, cost.

    Search, comparison, the tasks that prune, and ``xp`` all run recipes through one.

    Attributes:
        dense: The dense network in eval mode on its reference images; nothing here changes it.
        name: The network's name, as it is shown.
        dataset: Splits and task.
        validation: The images that trials are scored on.
        unit_kind: What a unit is.
        layers: What LRP rules are given to, in execution order.
        network: Fingerprint of the network.
        device: Where the network lies.
        recipe: The one that is used where no other is given; complete.
        prune: The ``prune`` section with all that ``recipe`` says.
        caches: The last results.
    """

    dense: DenseNetwork
    name: str
    dataset: Dataset
    validation: LabelledImages
    unit_kind: str
    layers: Sequence[LayerInfo]
    network: str
    device: torch.device
    recipe: Recipe
    prune: CompletePruneConfig
    caches: Caches = field(default_factory=Caches)

    @property
    def model(self) -> nn.Module:
        """The dense network."""
        return self.dense.model

    @property
    def units(self) -> Sequence[UnitLayer]:
        """What is ranked, in execution order."""
        return self.dense.units

    @property
    def reference_images(self) -> Inputs:
        """(N, 3, H, W), normalised, or texts, on ``device``."""
        return self.dense.images

    @property
    def example(self) -> Inputs:
        """One input, (1, 3, H, W), or a text, on ``device``."""
        return self.dense.example

    @property
    def batch(self) -> BatchSizes:
        """Images in one pass."""
        return self.dense.batch

    @property
    def task(self) -> Task:
        """The classes and their logits."""
        return self.dataset.task

    @property
    def unit_count(self) -> int:
        """How many units there are."""
        return sum(layer.units for layer in self.units)

    def with_prune(self, **changes: Any) -> PruningSession:
        """The same session with other ``prune`` settings; both share the dense network and all caches.

        Args:
            changes: Keys of the ``prune`` section; None leaves one as it is.
        """
        changes = {key: value for key, value in changes.items() if value is not None}
        return replace(self, prune=replace(self.prune, **changes)) if changes else self

    def under(self, recipe: Recipe) -> PruningSession:
        """The same session with the ``prune`` settings that a recipe makes itself (`Recipe.prune`)."""
        return self.with_prune(**recipe.prune)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        dataset: Dataset,
        units: Sequence[UnitLayer],
        *,
        name: str | None = None,
        unit_kind: str | None = None,
        recipe: Asked = None,
        prune: PruneConfig | None = None,
        batch: BatchSizes | None = None,
        target: str = "auto",
        calibration: LabelledImages | None = None,
    ) -> PruningSession:
        """A session for an existing network, which is put into eval mode and not moved to another device.

        Args:
            model: The dense network.
            dataset: Its images; trials are scored on all validation images.
            units: Of the network, as `find_units` finds them.
            name: The network's name, as it is shown; None: the name of its class.
            unit_kind: What a unit is, as it is shown and kept with the recipe.
            recipe: A recipe, or a composite in place of its rules; what it leaves open is `auto_recipe`'s.
            prune: Settings that replace the recipe's; None: the recipe's, and the defaults of the ``prune``
                section for what no recipe says.
            batch: Images in one pass.
            target: The class that relevance starts at, as ``attribution.target`` has it.
            calibration: What compensation and the joint order take statistics of; None: the reference images.

        Raises:
            XaipruneError: The recipe speaks of layers that the network does not have.
        """
        device, batch = device_of(model), batch or BatchSizes()
        dataset = with_targets(model.eval(), dataset, target, batch)
        images = dataset.reference.inputs(device=device)
        whole = complete_recipe(recipe, model, units, part_of(images, slice(0, 1)))
        if prune is None:
            prune = PruneConfig() if whole.rate is None else PruneConfig(rate=whole.rate)
        dense = DenseNetwork(model, units, images, batch, calibration, dataset.task.select)
        whole = replace(pruning_as(whole, prune), units=unit_kind)
        layers = trace_layers(model, dense.example)
        check_fits(whole, units, layers)
        return cls(
            dense=dense,
            name=name or type(model).__name__,
            dataset=dataset,
            validation=dataset.validation,
            unit_kind=unit_kind or "units",
            layers=layers,
            network=fingerprint(model),
            device=device,
            recipe=whole,
            prune=complete_prune(prune, whole),
        )

    # -- scores ------------------------------------------------------------------------------------------

    def relevances(self, recipes: Sequence[Recipe]) -> list[Relevance]:
        """Relevance of the units on the reference images, one forward for all recipes.

        Results of the last call are reused: in a space that varies only how relevance is
        ranked, all trials share it.
        """
        cached = dict(self.caches.relevances)
        new = [recipe for recipe in recipes if recipe.attribution_key not in cached]
        if new:
            found = self._relevances(self.model, new)
            cached |= {
                recipe.attribution_key: relevance for recipe, relevance in zip(new, found, strict=True)
            }
        self.caches.relevances = {
            recipe.attribution_key: cached[recipe.attribution_key] for recipe in recipes
        }
        return [cached[recipe.attribution_key] for recipe in recipes]

    def _relevances(self, model: nn.Module, recipes: Sequence[Recipe]) -> list[Relevance]:
        return relevances_of(
            model,
            self.reference_images,
            self.dataset.reference.labels.to(self.device),
            self.units,
            recipes,
            task=self.task,
            batch_size=self.batch.attribution,
        )

    def scores(self, recipe: Recipe, relevance: Relevance | None = None) -> Scores:
        """One score per unit of the dense network.

        Args:
            recipe: How relevance is computed and aggregated.
            relevance: Under the recipe's composite, if it has been computed already.
        """
        if relevance is None:
            (relevance,) = self.relevances([recipe])
        return recipe.scores(relevance, self.units, self.layers)

    def ranker(self, recipe: Recipe) -> Rank:
        """A function that ranks the units of a partly pruned network by a recipe."""

        def rank(model: nn.Module) -> Scores:
            (relevance,) = self._relevances(model, [recipe])
            return recipe.scores(relevance, self.units, self.layers)

        return rank

    # -- plans -------------------------------------------------------------------------------------------

    def plan(self, scores: Scores, rate: float, *, rerank: Rank | None = None, scale: Scale = None) -> Plan:
        """The units to remove at a rate, under the session's ``prune`` settings.

        Args:
            scores: Of the dense network's units.
            rate: Fraction removed.
            rerank: Ranks the pruned network in each further round; None: the scores hold for it, too.
            scale: Factors that the layers' scores have; in the order by error their errors get them, too.
        """
        prune = self.prune
        options: dict[str, Any] = {
            **{key: getattr(prune, key) for key in ("budget", "scope", "min_units", "multiple")},
            "costs": None if prune.budget == "units" else self.dense.unit_costs(prune.budget),
            "network": self.network,
            "groups": self.dense.coupled if prune.coupled == "group" else (),
        }
        if prune.order in JOINT:
            how, own = Ordering(prune.order, prune.compensate, prune.bn), rerank
            scores = self.caches.in_order(scores, self.dense, how, scale)
            rerank = None if own is None else lambda model: self.dense.in_order(own(model), how, scale)
        if prune.relevance_per != "unit":
            costs = self.dense.unit_costs(prune.relevance_per), options["groups"]
            scores, ranked = per_cost(scores, *costs), rerank
            rerank = None if ranked is None else lambda model: per_cost(ranked(model), *costs)
        if rerank is None or prune.rounds == 1:
            return make_plan(scores, self.units, rate, **options)
        compensator = None if prune.compensate == "none" else self.compensated
        return iterative_plan(
            self.model, self.units, rate, rerank, prune.rounds, compensator, scores, **options
        )

    def plan_for(self, recipe: Recipe, rate: float | None = None, scores: Scores | None = None) -> Plan:
        """The units that a recipe removes, with the ``prune`` settings that it makes itself (`under`).

        Args:
            recipe: Gives scores, scope, order, compensation and rounds.
            rate: Fraction removed; None: the recipe's, else the session's.
            scores: The recipe's, if they have been computed already.
        """
        if rate is None:
            rate = self.prune.rate if recipe.rate is None else recipe.rate
        scores = self.scores(recipe) if scores is None else scores
        scale = recipe.factors(self.units, self.layers)
        return self.under(recipe).plan(scores, rate, rerank=self.ranker(recipe), scale=scale)

    def plan_key(self, plan: Plan) -> str:
        """Equal for plans whose networks give the same answers: what is removed and what is fitted."""
        prune, when = self.prune, "" if self.prune.sequential else " at once"
        how = "" if prune.compensate == "none" else f" {prune.compensate}{when}"
        bn = "" if prune.bn == "keep" else " bn controlled"
        return f"{plan.hash}{how}{bn}" if plan.n_removed else plan.hash

    # -- smaller networks --------------------------------------------------------------------------------

    def pruned(self, plan: Plan, *, smaller: bool = False, images: int | None = None) -> Pruned:
        """Apply a plan in whichever way is done sooner.

        Args:
            plan: What is removed.
            smaller: The tensors must shrink; else they do where that is sooner done than masking.
            images: How many will be classified, at most; None: all validation images.
        """
        if not plan.n_removed:
            return Pruned(self.model)
        count = len(self.validation) if images is None else images
        if self.only_removes and not smaller and self.dense.cost().macs * count <= _WORTH_REMOVING:
            return Pruned(self.model, plan.removed)
        return Pruned(self.remove(plan).model)

    @property
    def only_removes(self) -> bool:
        """Whether a mask gives the pruned network's answers: no weight or statistic is changed."""
        return self.prune.compensate == "none" and self.prune.bn == "keep"

    def remove(self, plan: Plan, *, check: bool = True) -> Removal:
        """The smaller network, compensated, and what became of the plan's units.

        Args:
            plan: What is removed.
            check: Compare it with the masked network before it is handed out.
        """
        return apply_plan(
            self.model,
            plan,
            self.units,
            self.dense.statistics_images,
            self.example,
            compensate=self.prune.compensate,
            **self._for_compensation(),
            coupled=self.prune.coupled,
            bn=self.prune.bn,
            dense_bn=self.dense.batchnorm if self.prune.bn != "keep" and plan.n_removed else None,
            batch_size=self.batch.forward,
            check=check,
        )

    def compensated(self, plan: Plan) -> nn.Module:
        """The dense network with a plan's units compensated for, before they are removed."""
        if self.prune.compensate == "none":
            return self.model
        return compensate(
            self.model,
            plan,
            self.units,
            self.dense.statistics_images,
            self.prune.compensate,
            batch_size=self.batch.attribution,
            **self._for_compensation(),
        )

    def _for_compensation(self) -> dict[str, Any]:
        """How compensation is done, with what it needs of the dense network."""
        sequential, none = self.prune.sequential, self.prune.compensate == "none"
        return {
            "sequential": sequential,
            "statistics": None if none or sequential else self.dense.statistics,
            "dense": None if none or not sequential else self.dense.samples,
        }

    # -- measuring ---------------------------------------------------------------------------------------

    def accuracy(
        self,
        pruned: Pruned | nn.Module | None = None,
        images: LabelledImages | None = None,
        *,
        precision: Precision = "float32",
    ) -> Accuracy:
        """Top-1 of the dense or a pruned network.

        Args:
            pruned: As `pruned` makes it, or a network; None: the dense network.
            images: None: all validation images.
            precision: Of the forward.
        """
        if not isinstance(pruned, Pruned):
            pruned = Pruned(self.model if pruned is None else pruned)
        images = self.validation if images is None else images
        _ = images.labels  # predicted ones are the dense network's, so before anything is masked in it
        with nullcontext() if pruned.mask is None else masked(pruned.model, pruned.mask, self.units):
            return accuracy(
                pruned.model,
                images,
                self.task,
                batch_size=self.batch.forward,
                device=self.device,
                precision=precision,
            )

    def cost(self, model: nn.Module, batches: Sequence[int] = (), min_seconds: float = 0.5) -> Cost:
        """Parameters, MACs and bytes of a network, and its latency at each batch size."""
        return cost(model, self.example, batches, min_seconds)

    def dense_accuracy(self, precision: Precision = "float32") -> Accuracy:
        """Top-1 of the dense network on the validation images."""
        found = self.caches.accuracy
        if precision not in found:
            found[precision] = self.accuracy(precision=precision)
        return found[precision]

    def __repr__(self) -> str:
        return f"PruningSession({self.name}, {self.unit_count} {self.unit_kind}, {self.dataset})"
