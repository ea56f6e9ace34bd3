"""``xaiprune prune``: composite or plan -> a smaller network on disk, measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor, nn

from xaiprune.attribute import PRESETS, Aggregation, Composite, Scores, aggregate, attribute
from xaiprune.attribute.lrp.composite_io import load_composite
from xaiprune.config.tasks import PruneTaskConfig
from xaiprune.errors import XaipruneError
from xaiprune.evaluate import Accuracy, Cost, accuracy, cost
from xaiprune.models import Setup, fingerprint, setup
from xaiprune.prune import (
    Plan,
    Removal,
    architecture_of,
    carry_out,
    check_folder,
    compensate,
    couple,
    export_onnx,
    iterative_plan,
    load_pruned,
    save_pruned,
)
from xaiprune.units import UnitLayer, find_units, unit_costs

_BATCHES = (1, 32)
_SECONDS = 0.5  # to time each for


def run(config: PruneTaskConfig) -> None:
    """Rank (or read a plan), compensate, remove, measure, save."""
    if config.output_dir:
        check_folder(Path(config.output_dir).expanduser())
    opened = _open(config)
    model, example = opened.model, opened.example()
    settings = config.units
    units = find_units(model, settings.kind, settings.include, settings.exclude, example=example)
    images = opened.data.reference.tensor(slice(None), opened.device)
    network = fingerprint(model)
    made = _Pruning(config, opened, units, images, network)
    plan = made.plan()
    plan.check(units, network)
    result = made.carried_out(plan)
    before, after = _measure(opened, model, config), _measure(opened, result.model, config)
    folder = _save(config, plan, result, before, after)
    print(f"network   {config.model.pruned or config.model.name}, {plan.n_units} {plan.kind}")
    print(f"plan      {plan.n_removed} units go (rate {plan.rate:g} of {plan.budget})")
    for line in result.summary().splitlines():
        print(f"          {line}")
    for name, value in _numbers(before, after).items():
        print(f"{name:<34} {value}")
    print(f"saved     {folder}")
    if config.export.onnx:
        difference = export_onnx(result.model.cpu(), example.cpu(), folder)
        print(f"onnx      {folder / 'model.onnx'} (largest difference of logits {difference:.1e})")


@dataclass(frozen=True)
class _Pruning:
    """What one run of the task works on."""

    config: PruneTaskConfig
    opened: Setup
    units: Sequence[UnitLayer]
    images: Tensor
    network: str

    def plan(self) -> Plan:
        """The plan from the file, or from a ranking."""
        prune, model = self.config.prune, self.opened.model
        if prune.plan is not None:
            return Plan.load(prune.plan)
        example = self.opened.example()
        costs = None if prune.budget == "units" else unit_costs(model, self.units, prune.budget, example)
        return iterative_plan(
            model,
            self.units,
            prune.rate,
            self.scores,
            prune.steps,
            self.compensated,
            budget=prune.budget,
            scope=prune.scope,
            floor=prune.floor,
            costs=costs,
            network=self.network,
            groups=couple(model, self.units, example) if prune.coupled == "group" else (),
        )

    def scores(self, model: nn.Module) -> Scores:
        """Relevance of the units of a network, by the configured composite."""
        composite, start, aggregation = _recipe(self.config)
        relevance = attribute(
            model,
            self.images,
            self.opened.data.reference.labels.to(self.images.device),
            self.units,
            composite,
            task=self.opened.data.task,
            start=start,
            batch_size=self.config.attribution.batch_size,
        )
        return aggregate(relevance, aggregation)

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
        return carry_out(
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


def _open(config: PruneTaskConfig) -> Setup:
    if config.model.pruned is None:
        return setup(config.model, config.data, device=config.device)
    network = load_pruned(Path(config.model.pruned).expanduser())
    return setup(config.model, config.data, device=config.device, network=network)


def _recipe(config: PruneTaskConfig) -> tuple[Composite, Any, Aggregation]:
    """Composite, start and aggregation. A file that a study wrote brings its own start and aggregation."""
    settings = config.attribution
    chosen: dict[str, Any] = {
        "start": settings.start,
        "aggregate": settings.aggregate,
        "image_weight": settings.image_weight,
        "normalize": settings.normalize,
    }
    if config.composite.file is not None:
        path = Path(config.composite.file).expanduser()
        composite = load_composite(path)
        provenance = yaml.safe_load(path.read_text()).get("provenance") or {}
        chosen |= provenance.get("attribution") or {}
    elif config.composite.preset in PRESETS:
        composite = PRESETS[config.composite.preset].composite
    else:
        raise XaipruneError(
            f"composite.preset={config.composite.preset} is unknown; choose one of {', '.join(PRESETS)}"
        )
    aggregation = Aggregation(
        mode=chosen["aggregate"], image_weight=chosen["image_weight"], normalize=chosen["normalize"]
    )
    return composite, chosen["start"], aggregation


def _measure(opened: Setup, model: nn.Module, config: PruneTaskConfig) -> tuple[Accuracy, Cost]:
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
    config: PruneTaskConfig,
    plan: Plan,
    result: Removal,
    before: tuple[Accuracy, Cost],
    after: tuple[Accuracy, Cost],
) -> Path:
    model, prune = config.model, config.prune
    name, kwargs, replaced = model.name, dict(model.kwargs), list(result.replaced)
    if model.pruned is not None:
        name, kwargs, earlier = architecture_of(Path(model.pruned).expanduser())
        replaced = [*earlier, *replaced]
    default = Path("outputs") / f"{name}-{config.units.kind}-{plan.rate:g}"
    notes = [
        f"Compensation: {prune.compensate}{', layer by layer' if prune.sequential else ', at once'}; "
        f"BatchNorm: {prune.bn}; rounds: {prune.steps}.",
        *result.summary().splitlines(),
    ]
    return save_pruned(
        result.model,
        Path(config.output_dir).expanduser() if config.output_dir else default,
        architecture=name,
        kwargs=kwargs,
        plan=plan,
        replaced=replaced,
        numbers=_numbers(before, after),
        notes=notes,
    )
