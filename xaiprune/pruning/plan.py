"""From scores to a plan: which units to remove, for a rate."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from xaiprune.errors import XaipruneError
from xaiprune.files import compact_json, replacing
from xaiprune.pruning.choice import lowest, steps
from xaiprune.units import UnitLayer

SCHEMA = "xaiprune/plan/1"
BUDGETS = ("units", "params", "macs")
SCOPES = ("global", "layer")
PER = ("unit", "params", "macs")


@dataclass(frozen=True)
class Plan:
    """The units to remove.

    Attributes:
        removed: Unit layer name -> the units to remove, ascending; every unit layer has an entry.
        totals: Unit layer name -> how many units it has.
        kind: The unit kind.
        rate: Fraction asked for, 0..1.
        budget: What the rate counts: ``units``, ``params`` or ``macs``.
        scope: ``global`` or ``layer``.
        min_units: Units that every layer keeps, at least.
        network: Fingerprint of the network that the plan was made for; None if unknown.
        multiple: Of channels, that every layer keeps.
    """

    removed: dict[str, tuple[int, ...]]
    totals: dict[str, int]
    kind: str
    rate: float
    budget: str = "units"
    scope: str = "global"
    min_units: int = 1
    network: str | None = None
    multiple: int = 1
    _hash: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        digest = hashlib.sha256(json.dumps([self.removed, self.totals]).encode()).hexdigest()
        object.__setattr__(self, "_hash", digest[:16])

    def __repr__(self) -> str:
        counts = f"{self.n_removed} of {self.n_units} {self.kind} removed"
        return f"Plan({counts}, rate {self.rate:g} of {self.budget})"

    @property
    def hash(self) -> str:
        """Identifies what is removed: equal for plans that remove the same units, however they were made."""
        return self._hash

    @property
    def n_removed(self) -> int:
        """How many units are removed."""
        return sum(map(len, self.removed.values()))

    @property
    def n_units(self) -> int:
        """How many units there are."""
        return sum(self.totals.values())

    def summary(self) -> str:
        """A table of how many units each layer keeps, of how many."""
        width = max([len("unit layer"), *map(len, self.totals)])
        lines = [f"{'unit layer':<{width}}  kept / total"]
        for name, total in self.totals.items():
            kept = total - len(self.removed[name])
            lines.append(f"{name:<{width}}  {kept:>4} / {total:<5}  {kept / total:6.1%}")
        kept = self.n_units - self.n_removed
        lines.append(f"{'all':<{width}}  {kept:>4} / {self.n_units:<5}  {kept / max(self.n_units, 1):6.1%}")
        return "\n".join(lines)

    def check(self, units: Sequence[UnitLayer], network: str | None = None) -> None:
        """Refuse a plan that was made for another network.

        Args:
            units: The network's unit layers.
            network: The network's fingerprint; None skips that comparison.

        Raises:
            XaipruneError: Names the first difference.
        """
        if network is not None and self.network is not None and network != self.network:
            raise XaipruneError(
                f"the plan was made for the network {self.network}, this one is {network}; "
                "load the weights it was made for, or make a new plan"
            )
        have = {layer.name: layer.units for layer in units}
        for name, total in self.totals.items():
            if name not in have:
                raise XaipruneError(
                    f"the plan's unit layer {name} is not among this network's {self.kind}; make a new plan"
                )
            if have[name] != total:
                raise XaipruneError(
                    f"the plan has {total} units in {name}, this network has {have[name]}; make a new plan"
                )
        for name, removed in self.removed.items():
            if removed and not 0 <= min(removed) <= max(removed) < have[name]:
                raise XaipruneError(f"the plan removes a unit that {name} does not have ({max(removed)})")

    def to_json(self) -> str:
        """The plan as JSON text with a schema line."""
        content = {
            "schema": SCHEMA,
            "network": self.network,
            "kind": self.kind,
            "rate": self.rate,
            "budget": self.budget,
            "scope": self.scope,
            "floor": self.min_units,
            **({} if self.multiple == 1 else {"multiple": self.multiple}),
            "layers": {
                name: {"units": total, "removed": list(self.removed[name])}
                for name, total in self.totals.items()
            },
        }
        return compact_json(content) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON."""
        with replacing(Path(path)) as unfinished:
            unfinished.write_text(self.to_json())

    @staticmethod
    def load(path: str | Path) -> "Plan":
        """Read a plan.

        Raises:
            XaipruneError: If the file is missing, is no plan, or has another schema.
        """
        try:
            content = json.loads(Path(path).read_text())
        except FileNotFoundError:
            raise XaipruneError(f"{path}: no such plan") from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise XaipruneError(f"{path} cannot be read as a plan (JSON): {error}") from error
        return plan_from_dict(content, str(path))


PlanLike = Plan | Mapping[str, Sequence[int]]
"""A plan, or unit layer name -> the units to remove."""


def units_to_remove(plan: PlanLike, units: Sequence[UnitLayer]) -> dict[str, tuple[int, ...]]:
    """Unit layer name -> the units to remove, ascending, checked against the network's unit layers.

    Raises:
        XaipruneError: If the plan was made for another network, or names a layer or unit that is not there.
    """
    if isinstance(plan, Plan):
        plan.check(units)
        plan = plan.removed
    layers = {layer.name: layer for layer in units}
    for name, removed in plan.items():
        if name not in layers:
            raise XaipruneError(f"{name} is not a unit layer of this network")
        layers[name].channels(removed)  # refuses units that the layer does not have
    return {name: tuple(sorted(set(removed))) for name, removed in plan.items()}


def plan_from_dict(content: object, source: str) -> Plan:
    """A plan from its JSON content; ``source`` names the file in errors.

    Raises:
        XaipruneError: If it is no plan or has another schema.
    """
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(content, dict) or schema != SCHEMA:
        raise XaipruneError(
            f"{source} has schema {schema!r}, this version reads {SCHEMA!r}; "
            "update xaiprune, or make the plan again"
        )
    try:
        layers = content["layers"]
        return Plan(
            removed={name: tuple(sorted(map(int, layer["removed"]))) for name, layer in layers.items()},
            totals={name: int(layer["units"]) for name, layer in layers.items()},
            kind=str(content["kind"]),
            rate=float(content["rate"]),
            budget=str(content["budget"]),
            scope=str(content["scope"]),
            min_units=int(content["floor"]),
            network=content.get("network"),
            multiple=int(content.get("multiple", 1)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise XaipruneError(f"{source} is not a complete plan ({error!r}); make it again") from error


def make_plan(
    scores: Mapping[str, Tensor],
    units: Sequence[UnitLayer],
    rate: float,
    *,
    budget: str = "units",
    scope: str = "global",
    min_units: int = 1,
    costs: Mapping[str, Tensor] | None = None,
    network: str | None = None,
    groups: Sequence[Sequence[str]] = (),
    multiple: int = 1,
) -> Plan:
    """Choose the units to remove: the lowest scores first, until the rate is reached.

    Units are removed in an order that does not depend on the rate (ascending score, ties by the order of
    layers, then of units; a layer that has only `min_units` left keeps them), so plans at rising rates are
    nested. Of N units floor(rate * N + 0.5) are removed. With a budget of params or MACs, as many are removed
    as bring the removed cost nearest to ``rate`` times the cost of all units.

    With a multiple above 1 the units of a layer leave in blocks, so that a multiple of channels is kept
    (`xaiprune.pruning.choice`); a layer that has fewer keeps all. Blocks are ranked by their mean score, and
    the rate is met to half a block.

    Args:
        scores: Unit layer name -> (units,), higher = more relevant.
        units: The unit layers, in execution order.
        rate: Fraction to remove, 0 <= rate < 1.
        budget: ``units``, ``params`` or ``macs``; the latter two need ``costs``.
        scope: ``global`` ranks all layers together, ``layer`` each for itself.
        min_units: Units that every layer keeps, at least.
        costs: Unit layer name -> (units,), what one unit costs (`xaiprune.units.unit_costs`).
        network: Fingerprint of the network, kept in the plan.
        groups: Layers that share their channels (`xaiprune.pruning.couple`): their scores and costs are
            summed, and a unit is removed from all of them or from none.
        multiple: Every layer whose tensors shrink keeps a multiple of so many channels, or all of them.

    Raises:
        XaipruneError: If an argument is out of range, scores are missing or not finite, or `min_units` and
            `multiple` do not let the rate be reached.
    """
    _check_arguments(rate, budget, scope, min_units, multiple)
    names = [layer.name for layer in units]
    totals = {layer.name: layer.units for layer in units}
    values = {layer.name: _layer_values("score", scores, layer) for layer in units}
    if budget == "units":
        prices = {layer.name: torch.ones(layer.units, dtype=torch.float64) for layer in units}
    elif costs is None:
        raise XaipruneError(f"prune.budget={budget} needs the units' costs; pass costs=unit_costs(...)")
    else:
        prices = {layer.name: _layer_values("cost", costs, layer) for layer in units}
    removed: dict[str, list[int]] = {name: [] for name in names}
    members = {group[0]: tuple(group) for group in groups}
    values, prices = _summed(values, groups), _summed(prices, groups)
    ranked = [name for name in names if name in values]
    block = steps(units, multiple, groups)
    for part in [[name] for name in ranked] if scope == "layer" else [ranked]:
        for name, unit in lowest(values, prices, rate, min_units=min_units, steps=block, names=part):
            for member in members.get(name, (name,)):
                removed[member].append(unit)
    kinds = dict.fromkeys(layer.kind for layer in units)
    return Plan(
        removed={name: tuple(sorted(removed[name])) for name in names},
        totals=totals,
        kind="+".join(kinds),
        rate=float(rate),
        budget=budget,
        scope=scope,
        min_units=min_units,
        network=network,
        multiple=multiple,
    )


def per_cost(
    scores: Mapping[str, Tensor], costs: Mapping[str, Tensor], groups: Sequence[Sequence[str]] = ()
) -> dict[str, Tensor]:
    """Each unit's score divided by what the unit costs.

    Ranked so, the units that are removed first are those that save most for what they are worth: the greedy
    solution of the knapsack problem of keeping most relevance within a budget.

    Args:
        scores: Unit layer name -> (units,).
        costs: Unit layer name -> (units,), above zero.
        groups: Layers that are removed together; their units are divided by the cost of the whole group.

    Returns:
        Unit layer name -> (units,) float64 on the CPU.
    """
    whole = _summed(costs, groups)
    first = {name: group[0] for group in groups for name in group}
    return {
        name: values.detach().to("cpu", torch.float64) / whole[first.get(name, name)]
        for name, values in scores.items()
    }


def _summed(values: Mapping[str, Tensor], groups: Sequence[Sequence[str]]) -> dict[str, Tensor]:
    """The values, with those of each group added up under the name of its first layer alone."""
    merged = dict(values)
    for first, *others in groups:
        for name in others:
            merged[first] = merged[first] + merged.pop(name)
    return merged


def _check_arguments(rate: float, budget: str, scope: str, min_units: int, multiple: int) -> None:
    if not (isinstance(rate, int | float) and 0 <= rate < 1):
        raise XaipruneError(f"prune.rate={rate} is out of range; it is a fraction, 0 <= rate < 1")
    if budget not in BUDGETS:
        raise XaipruneError(f"prune.budget={budget} is unknown; choose one of {', '.join(BUDGETS)}")
    if scope not in SCOPES:
        raise XaipruneError(f"prune.scope={scope} is unknown; choose one of {', '.join(SCOPES)}")
    if min_units < 0:
        raise XaipruneError(f"prune.min_units={min_units} is out of range; it counts units, from 0")
    if multiple < 1:
        raise XaipruneError(f"prune.multiple={multiple} is out of range; it counts channels, from 1")


def _layer_values(what: str, values: Mapping[str, Tensor], layer: UnitLayer) -> Tensor:
    """(units,) float64 on the CPU, checked."""
    if layer.name not in values:
        raise XaipruneError(
            f"there is no {what} for the unit layer {layer.name}; rank the same units that you prune"
        )
    found = torch.as_tensor(values[layer.name]).detach().to("cpu", torch.float64)
    if found.shape != (layer.units,):
        raise XaipruneError(
            f"{layer.name} has {layer.units} units, but {what}s of shape {tuple(found.shape)}"
        )
    if not bool(found.isfinite().all()):
        raise XaipruneError(f"a {what} in {layer.name} is not finite; the ranking failed there")
    return found
