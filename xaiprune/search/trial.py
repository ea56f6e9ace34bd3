"""One trial: from a proposal to its value."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xaiprune.attribute import Scores, aggregate
from xaiprune.evaluate import Accuracy
from xaiprune.search.context import Context
from xaiprune.search.known import Known, Score
from xaiprune.search.proposal import Proposal


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
        value: The objective's, a fraction.
        scores: One for each of the objective's rates.
        reused: Number of the earlier trial whose figures these are; None where anything was measured.
    """

    value: float
    scores: tuple[Score, ...]
    reused: int | None


def run(context: Context, proposal: Proposal, number: int, known: Known, watch: Stopwatch) -> Result:
    """Attribute, rank, plan, mask, measure.

    Args:
        context: What all trials share.
        proposal: What this one tries.
        number: The trial's, for what it measures.
        known: Scores that need not be measured again.
        watch: Takes the seconds of each step.

    Raises:
        XaipruneError: Relevance or logits are not finite; names the layer.
    """
    scores = known.proposals.get(proposal.key)
    if scores is None:
        with watch.step("attribute"):
            (relevance,) = context.relevances([proposal])
        ranking = aggregate(relevance, proposal.aggregation)
        scores = tuple(
            measure(context, ranking, rate, number, known, watch) for rate in context.objective.rates
        )
    sources = {score.trial for score in scores}
    top1 = [score.correct / len(context.validation) for score in scores]
    value = context.objective.combine(context.objective.rates, top1)
    return Result(value, scores, None if number in sources else max(sources))


def measure(
    context: Context, ranking: Scores, rate: float, number: int, known: Known, watch: Stopwatch
) -> Score:
    """The score of a ranking at one rate, from memory where the same units have gone before."""
    with watch.step("plan"):
        plan = context.plan(ranking, rate)
    if plan.hash not in known.plans:
        with watch.step("evaluate"):
            found = context.accuracy(plan)
        known.plans[plan.hash] = Score(plan.hash, int(found.correct.sum()), number)
    return known.plans[plan.hash]


def attributes(context: Context, proposal: Proposal, result: Result, watch: Stopwatch) -> dict[str, Any]:
    """What is stored with the trial, beside parameters and value."""
    total = len(context.validation)
    stored: dict[str, Any] = {
        "proposal": proposal.to_dict(),
        "key": proposal.key,
        "scores": [
            _score(rate, score, total)
            for rate, score in zip(context.objective.rates, result.scores, strict=True)
        ],
        "seconds": {step: round(seconds, 4) for step, seconds in watch.seconds.items()},
    }
    if result.reused is not None:
        stored["reused_from"] = result.reused
    return stored


def _score(rate: float, score: Score, total: int) -> dict[str, Any]:
    found = Accuracy(np.arange(total) < score.correct)
    low, high = found.interval()
    return {
        "rate": rate,
        "plan": score.plan,
        "correct": score.correct,
        "images": total,
        "top1": found.top1,
        "low": low,
        "high": high,
    }
