"""Bounds on what a good trial may cost or lose, such as ``macs <= 0.5``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xaiprune.errors import XaipruneError

if TYPE_CHECKING:
    from xaiprune.pruning import Plan
    from xaiprune.session import Pruned, PruningSession

COSTS = ("params", "macs", "latency")
_CONSTRAINT = re.compile(r"\s*(\w+)\s*(<=|>=)\s*([-+.\deE]+)\s*")


@dataclass(frozen=True)
class Constraint:
    """A bound that a trial keeps or misses.

    Attributes:
        text: As it was written; also its name in the study.
        quantity: ``top1``, or ``params``, ``macs`` or ``latency`` as a part of the dense network's.
        at_most: Whether the bound is an upper one.
        bound: The number.
    """

    text: str
    quantity: str
    at_most: bool
    bound: float

    def excess(self, quantities: Mapping[str, float]) -> float:
        """By how much the bound is missed; zero or less where it is kept, as Optuna wants it."""
        difference = quantities[self.quantity] - self.bound
        return difference if self.at_most else -difference


def constraint_of(text: str) -> Constraint:
    """Read ``macs <= 0.5``.

    Raises:
        XaipruneError: It is not a quantity, <= or >=, and a number.
    """
    found = _CONSTRAINT.fullmatch(text)
    quantities = ("top1", *COSTS)
    try:
        if found is None or found[1] not in quantities:
            raise ValueError
        return Constraint(" ".join(found.groups()), found[1], found[2] == "<=", float(found[3]))
    except ValueError:
        raise XaipruneError(
            f"objective.constraints: '{text}' is not a bound such as 'macs <= 0.5'; it takes "
            f"{', '.join(quantities)} (fractions; costs as a part of the dense network's), <= or >=, a number"
        ) from None


def relative_cost(
    session: PruningSession, plan: Plan, pruned: Pruned, names: Sequence[str]
) -> dict[str, float]:
    """Costs of the smaller network as parts of the dense one's.

    Args:
        session: Of the dense network.
        plan: What is removed.
        pruned: The plan applied; a masked network is made smaller for this.
        names: Of ``params``, ``macs``, ``latency``.
    """
    if not names:
        return {}
    from xaiprune.session import LATENCY_BATCH

    if pruned.mask is not None:
        pruned = session.with_prune(compensate="none").pruned(plan, smaller=True)
    timed = "latency" in names
    dense = session.dense.cost(timed=timed)
    now = session.cost(pruned.model, (LATENCY_BATCH,) if timed else ())
    parts = {"params": now.params / dense.params, "macs": now.macs / dense.macs}
    if timed:
        parts["latency"] = now.latency[0].median / dense.latency[0].median
    return {name: parts[name] for name in names}
