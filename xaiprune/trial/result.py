"""What a trial found, and how long each of its steps took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from xaiprune.trial.cache import Score


@dataclass
class Stopwatch:
    """Seconds spent in each step of a trial."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to ``name``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


@dataclass(frozen=True)
class Result:
    """What a trial found.

    Attributes:
        values: The objective's; None where the trial was stopped in a race.
        scores: (rate, score), in the order of measuring.
        kept: Unit layer -> units that are kept, at the last rate; empty where no plan was made.
        evaluated: Images that were classified for it, at all rates together.
        wanted: As many as there are to classify without racing and reuse.
        reused: Number of the earlier trial whose figures these are; None where anything was measured.
        constraints: Constraint -> by how much it is missed; zero or less where it is kept.
        faithfulness: ``area`` between the curves of flipped patches, in logits, its 95 % interval ``low`` to
            ``high`` and the number of ``images``; None where nothing is explained.
    """

    values: tuple[float, ...] | None
    scores: tuple[tuple[float, Score], ...]
    kept: Mapping[str, int]
    evaluated: int
    wanted: int
    reused: int | None
    constraints: Mapping[str, float] = field(default_factory=dict)
    faithfulness: Mapping[str, Any] | None = None
