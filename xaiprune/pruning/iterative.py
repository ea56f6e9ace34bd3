"""Prune in rounds: rank the remaining units again after each round, until the rate is reached."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.progress import progress
from xaiprune.pruning.mask import masked
from xaiprune.pruning.plan import Plan, make_plan
from xaiprune.units import UnitLayer

# A network, which may be masked during the call -> the scores of its units.
Rank = Callable[[nn.Module], dict[str, Tensor]]
# A plan -> the dense network, compensated for it.
Compensator = Callable[[Plan], nn.Module]


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
    """A plan made in ``rounds`` rounds, each of which ranks the network as pruned so far.

    Round k prunes to the rate ``rate * k / rounds``; units removed in earlier rounds stay removed. One round
    is one-shot pruning.

    Args:
        model: The dense network.
        units: Its unit layers.
        rate: Fraction to remove in the end.
        rank: Scores the units of a network; after the first round of the masked (and compensated) one.
        rounds: Number of rounds, from 1.
        compensator: Compensates the dense network for the plan of the round before; None: no compensation.
        scores: Of the dense network, for the first round; None: ``rank`` computes them.
        options: Of `make_plan`.

    Raises:
        XaipruneError: As `make_plan`, or if ``rounds`` is below 1.
    """
    if rounds < 1:
        raise XaipruneError(f"prune.rounds={rounds} is out of range; it counts rounds, from 1")
    plan = make_plan(rank(model) if scores is None else scores, units, rate / rounds, **options)
    for number in progress(range(2, rounds + 1), "pruning in rounds"):
        current = model if compensator is None else compensator(plan)
        with masked(current, plan, units):
            found = rank(current)
        plan = make_plan(_removed_lowest(found, plan), units, rate * number / rounds, **options)
    return plan


def _removed_lowest(scores: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """The scores, with those of the plan's units below all others."""
    lowest = min(float(values.min()) for values in scores.values())
    below = lowest - abs(lowest) - 1.0
    changed = {}
    for name, values in scores.items():
        changed[name] = values.clone()
        changed[name][list(plan.removed[name])] = below
    return changed
