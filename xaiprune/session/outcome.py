"""A plan applied and measured: the smaller network, before and after, and how it is saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from torch import nn

from xaiprune.evaluation import Accuracy, Cost
from xaiprune.pruning import Plan, Removal, export_onnx, save_pruned
from xaiprune.recipe import Recipe
from xaiprune.session.labels import coverage
from xaiprune.session.session import PruningSession

_BATCHES = (1, 32)
_SECONDS = 0.5  # to time each batch size for


@dataclass(frozen=True)
class Outcome:
    """The result of pruning a network.

    Attributes:
        session: That it was pruned in.
        plan: What was removed.
        removal: The smaller network, and what became of the plan's units.
        before: Top-1 on the test split (None: there is none; without labels the agreement with the dense
            network) and cost of the dense network.
        after: Of the smaller one.
        recipe: By which the plan was made; None: the plan was given.
    """

    session: PruningSession
    plan: Plan
    removal: Removal
    before: tuple[Accuracy | None, Cost]
    after: tuple[Accuracy | None, Cost]
    recipe: Recipe | None = None

    @property
    def model(self) -> nn.Module:
        """The smaller network."""
        return self.removal.model

    def numbers(self) -> dict[str, str]:
        """Name -> dense -> pruned, as text."""
        (dense, full), (pruned, small) = self.before, self.after
        dataset = self.session.dataset
        measure, what = dataset.test.measure, dataset.reference.example
        numbers = {} if dense is None else {f"{measure} on the test split": f"{dense} -> {pruned}"}
        numbers |= {
            "parameters": f"{full.params:,} -> {small.params:,} (x{small.params / full.params:.2f})",
            f"MACs of one {what}": f"{full.macs:,} -> {small.macs:,} (x{small.macs / full.macs:.2f})",
            "bytes": f"{full.bytes:,} -> {small.bytes:,}",
        }
        for slow, fast in zip(full.latency, small.latency, strict=True):
            numbers[f"latency, batch {slow.batch}"] = f"{slow} -> {fast} (x{fast.median / slow.median:.2f})"
        return numbers

    def lines(self) -> Iterator[str]:
        """The result as readable lines."""
        plan = self.plan
        yield f"network   {self.session.name}, {plan.n_units} {plan.kind}"
        if (recipe := self.recipe) is not None:
            yield f"recipe    {recipe.name}: {replace(recipe, rate=None)}"
        yield from (f"{name:<9} {text}" for name, text in about_references(self.session).items())
        yield f"plan      {plan.n_removed} units are removed (rate {plan.rate:g} of {plan.budget})"
        yield from (f"          {line}" for line in self.removal.summary().splitlines())
        numbers = self.numbers()
        width = max(34, *map(len, numbers))
        yield from (f"{name:<{width}} {value}" for name, value in numbers.items())

    def save(
        self,
        folder: str | Path,
        *,
        architecture: str,
        kwargs: Mapping[str, Any] | None = None,
        replaced: Sequence[str] = (),
        **about: Any,
    ) -> Path:
        """Write the smaller network as a folder.

        Args:
            folder: Where to.
            architecture: As `save_pruned` takes it.
            kwargs: As `save_pruned` takes them.
            replaced: Attention modules that earlier removals replaced.
            about: ``origin``, ``card_name`` and ``further``, as `save_pruned` takes them.

        Returns:
            The folder.

        Raises:
            XaipruneError: As `save_pruned`.
        """
        prune = self.session.prune
        how = "layer by layer" if prune.sequential else "at once"
        recipe = self.recipe
        notes = [
            *([] if recipe is None else [f"Recipe {recipe.name}: {recipe.summary()}."]),
            f"Compensation: {prune.compensate}, {how}; BatchNorm: {prune.bn}; rounds: {prune.rounds}; "
            f"order: {prune.order}.",
            *self.removal.summary().splitlines(),
        ]
        return save_pruned(
            self.model,
            folder,
            architecture=architecture,
            kwargs=kwargs,
            plan=self.plan,
            replaced=[*replaced, *self.removal.replaced],
            numbers=self.numbers(),
            notes=notes,
            **about,
        )

    def export_onnx(self, folder: Path) -> float:
        """Write ``model.onnx``; the largest difference of its logits from torch's, relative."""
        return export_onnx(self.model.cpu(), self.session.example, folder)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def short(self) -> dict[str, str]:
        """What is left, in a few figures: name -> text."""
        (dense, full), (pruned, small) = self.before, self.after
        found = {}
        if dense is not None and pruned is not None:
            measure = self.session.dataset.test.measure.partition(" ")[0]
            found[measure] = f"{dense.top1:.1%} -> {pruned.top1:.1%}"
        for name, whole, part in (
            ("parameters", full.params, small.params),
            ("MACs", full.macs, small.macs),
        ):
            found[name] = f"x{part / whole:.2f}"
        return found

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {text}" for name, text in self.short().items())
        removed = f"{self.plan.n_removed} of {self.plan.n_units} {self.plan.kind} removed"
        return f"Outcome({self.session.name}: {removed}; {figures})"

    def _repr_html_(self) -> str:
        """For notebooks: what is left, as a table."""
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>"
            for name, text in self.numbers().items()
        )
        return f"<p>{escape(repr(self))}</p><table>{rows}</table>"


def about_references(session: PruningSession) -> dict[str, str]:
    """What a user should know of the images that a session ranks by and fits to: heading -> text."""
    found = {"relevance": f"of {session.dataset.reference.targets}"}
    if (few := coverage(session.dataset)) is not None:
        found["coverage"] = few
    if session.prune.compensate == "linear" and (few := session.dense.underdetermined) is not None:
        found["fit"] = few
    return found


def apply_and_measure(session: PruningSession, plan: Plan, recipe: Recipe | None = None) -> Outcome:
    """Apply a plan, and measure the network before and after on the test split.

    Args:
        session: Network, images and units; its ``prune`` settings say how the loss is compensated.
        plan: What is removed.
        recipe: By which the plan was made.
    """
    removal, test = session.remove(plan), session.dataset.test

    def measured(model: nn.Module) -> tuple[Accuracy | None, Cost]:
        top1 = session.accuracy(model, test) if len(test) else None
        return top1, session.cost(model, _BATCHES, _SECONDS)

    return Outcome(session, plan, removal, measured(session.model), measured(removal.model), recipe)
