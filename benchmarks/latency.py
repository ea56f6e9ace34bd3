"""Two networks timed in turn, so that a neighbour on the machine slows both."""

from __future__ import annotations

from torch import Tensor, nn

from xaiprune.evaluation import Latency, latency


def in_turn(
    dense: nn.Module, smaller: nn.Module, example: Tensor, batch: int, rounds: int = 5
) -> list[tuple[Latency, Latency]]:
    """Time both once a round; the rounds' ratios say more than two medians taken one after the other."""
    return [(latency(dense, example, batch), latency(smaller, example, batch)) for _ in range(rounds)]
