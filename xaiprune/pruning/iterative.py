"""Prune in rounds: rank again on what is left, until the rate is reached."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning.joint import JointOrder
from xaiprune.pruning.mask import masked
from xaiprune.pruning.plan import Plan, make_plan
from xaiprune.units import UnitLayer

# Scores of the units of a network, which may be masked while it is asked.
Rank = Callable[[nn.Module], dict[str, Tensor]]
Compensator = Callable[[Plan], nn.Module]


def joint_rank(rank: Rank, joint: JointOrder) -> Rank:
    """A ranking whose units leave in the joint order.

    In later rounds what has left has relevance zero, so that it comes first there, too.
    """
    return lambda model: joint.scores(rank(model))


def iterative_plan(
    model: nn.Module,
    units: Sequence[UnitLayer],
    rate: float,
    rank: Rank,
    rounds: int = 1,
    compensator: Compensator | None = None,
    scores: Mapping[str, Tensor] | None = None,
    **options: Any,
) -> Plan:
    """A plan whose units left in ``rounds`` rounds, each ranked on the network pruned so far.

    Round k prunes to the rate ``rate * k / rounds``; what has left stays out. One round is one-shot.

    Args:
        model: The dense network.
        units: Its unit layers.
        rate: Fraction to remove in the end.
        rank: Scores of the units of a network, which is masked (and compensated) while it is asked.
        rounds: Rounds.
        compensator: A plan -> the dense network compensated for it; None: the dense network as it is.
        scores: Of the dense network, where they are known; None: ``rank`` is asked.
        options: Of `make_plan`.

    Raises:
        XaipruneError: As `make_plan`, or if ``rounds`` is below 1.
    """
    if rounds < 1:
        raise XaipruneError(f"prune.rounds={rounds} is out of range; it counts rounds, from 1")
    plan = make_plan(rank(model) if scores is None else scores, units, rate / rounds, **options)
    for number in range(2, rounds + 1):
        current = model if compensator is None else compensator(plan)
        with masked(current, plan, units):
            found = rank(current)
        plan = make_plan(_gone_first(found, plan), units, rate * number / rounds, **options)
    return plan


def _gone_first(scores: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """The scores, with the units that have left below all others."""
    lowest = min(float(values.min()) for values in scores.values())
    below = lowest - abs(lowest) - 1.0
    changed = {}
    for name, values in scores.items():
        changed[name] = values.clone()
        changed[name][list(plan.removed[name])] = below
    return changed
