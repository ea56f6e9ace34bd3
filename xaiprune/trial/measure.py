"""Scores of a ranking: the rates of an objective measured, raced or bisected, and nothing twice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from xaiprune.attribution import Scores
from xaiprune.errors import XaipruneError
from xaiprune.pruning import Plan
from xaiprune.recipe.recipe import Recipe
from xaiprune.session.session import Context, Pruned
from xaiprune.trial.cache import Score, ScoreCache
from xaiprune.trial.race import CHUNK, Race

# Rates that max_rate_at_drop tells apart.
_STEPS = 100


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
        kept: Unit layer -> units that stay, at the last rate; empty where no plan was made.
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


class Measuring:
    """One trial's measurements.

    Args:
        context: What all trials share.
        recipe: What is measured; says the ranking's scope and the compensation.
        number: The trial's.
        known: What need not be measured again.
        watch: Takes the seconds.
        race: May stop it.
    """

    def __init__(
        self,
        context: Context,
        recipe: Recipe,
        number: int,
        known: ScoreCache,
        watch: Stopwatch,
        race: Race | None = None,
    ) -> None:
        self._context, self._recipe, self._number = context, recipe, number
        self._known, self._watch, self._race = known, watch, race
        self._total = len(context.validation)
        self._chunks = -(-self._total // CHUNK)
        self._evaluated = 0
        self._kept: dict[str, int] = {}

    def at(self, ranking: Scores, rates: Sequence[float]) -> Result:
        """Measure a ranking at given rates, all of them chunk by chunk in a race."""
        entries = [self._open(ranking, rate) for rate in rates]
        if self._race is None:
            for entry in entries:
                self._measure(entry, self._chunks)
            return self.result([(entry.rate, entry.score) for entry in entries])
        for chunk in range(self._chunks):
            for entry in entries:
                self._measure(entry, chunk + 1)
            size = min(CHUNK, self._total - chunk * CHUNK)
            alone = [entry.score.correct[chunk] / size for entry in entries]
            running = [sum(entry.score.correct[: chunk + 1]) / (chunk * CHUNK + size) for entry in entries]
            combine = self._context.objective.combine
            if self._race.stops(chunk, combine(rates, alone), combine(rates, running)):
                # What an earlier trial has seen beyond this point does not count here.
                scores = [
                    (entry.rate, replace(entry.score, correct=entry.score.correct[: chunk + 1]))
                    for entry in entries
                ]
                return self.result(scores, stopped=chunk + 1 < self._chunks)
        return self.result([(entry.rate, entry.score) for entry in entries])

    def highest_rate(self, ranking: Scores) -> Result:
        """The highest rate that keeps the objective's part of the dense top-1, by bisection.

        Plans at rising rates are nested, and accuracy falls along them, by and large: where it does not,
        what is found is one of the rates at which it falls below.
        """
        least = self._least()
        scores: list[tuple[float, Score]] = []
        low, high = 0, _STEPS  # in steps: low is kept, high is not
        while high - low > 1:
            middle = (low + high) // 2
            try:
                entry = self._open(ranking, middle / _STEPS)
            except (
                XaipruneError
            ):  # more than prune.min_units lets go; a ranking that is broken was refused before
                high = middle
                continue
            self._measure(entry, self._chunks)
            scores.append((entry.rate, entry.score))
            low, high = (middle, high) if entry.score.total >= least else (low, middle)
        return self.result(scores)

    def result(self, scores: Sequence[tuple[float, Score]], stopped: bool = False) -> Result:
        """The objective's values of what was measured."""
        sources = {score.trial for _, score in scores}
        return Result(
            values=None if stopped else self._values(scores),
            scores=tuple(scores),
            kept=self._kept,
            evaluated=self._evaluated,
            wanted=self._total * len(scores),
            reused=None if self._number in sources else max(sources),
            constraints={} if stopped else self._excesses(scores),
        )

    def _values(self, scores: Sequence[tuple[float, Score]]) -> tuple[float, ...]:
        objective = self._context.objective
        if objective.bisects:
            value = max((rate for rate, _ in self._that_keep(scores)), default=0.0)
        else:
            rates = [rate for rate, _ in scores]
            value = objective.combine(rates, [score.total / self._total for _, score in scores])
        return (value,) if objective.cost is None else (value, self._quantities(scores)[objective.cost])

    def _excesses(self, scores: Sequence[tuple[float, Score]]) -> dict[str, float]:
        constraints = self._context.objective.constraints
        if not constraints:
            return {}
        quantities = self._quantities(scores)
        return {constraint.text: constraint.excess(quantities) for constraint in constraints}

    def _quantities(self, scores: Sequence[tuple[float, Score]]) -> dict[str, float]:
        """Top-1 and costs, means over the rates; of the found rate alone where the rate is searched."""
        objective = self._context.objective
        if objective.bisects:
            found = sorted(self._that_keep(scores), key=lambda entry: entry[0])
            if not found:  # nothing may go
                return {"top1": self._context.dense.top1, **dict.fromkeys(objective.costs, 1.0)}
            scores = found[-1:]
        count = len(scores)
        quantities = {"top1": sum(score.total for _, score in scores) / (self._total * count)}
        for cost in objective.costs:
            quantities[cost] = sum(score.cost[cost] for _, score in scores) / count
        return quantities

    def _that_keep(self, scores: Sequence[tuple[float, Score]]) -> list[tuple[float, Score]]:
        """Those that keep the objective's part of the dense top-1."""
        return [entry for entry in scores if entry[1].total >= self._least()]

    def _least(self) -> float:
        return self._context.objective.keep * self._context.dense.top1 * self._total

    def _open(self, ranking: Scores, rate: float) -> _Entry:
        with self._watch.step("plan"):
            plan = self._context.plan_of(self._recipe, ranking, rate)
        self._kept = {
            layer.name: layer.units - len(plan.removed[layer.name]) for layer in self._context.units
        }
        key = self._context.plan_key(plan, self._recipe.compensate)
        return _Entry(rate, plan, self._known.plans.get(key) or Score(key, (), self._number))

    def _measure(self, entry: _Entry, chunks: int) -> None:
        """Have the first so many chunks of an entry scored."""
        context, score = self._context, entry.score
        missing = len(score.correct) < chunks
        unpriced = any(cost not in score.cost for cost in context.objective.costs)
        if not missing and not unpriced:
            return
        with self._watch.step("evaluate"):
            if entry.pruned is None:
                entry.pruned = context.pruned(entry.plan, self._recipe.compensate)
            if unpriced:
                score = replace(score, cost=context.cost_of(entry.plan, entry.pruned))
            if missing:
                start, stop = len(score.correct) * CHUNK, min(chunks * CHUNK, self._total)
                whole = start == 0 and stop == self._total
                images = context.validation if whole else context.validation.subset(slice(start, stop))
                found = context.accuracy(entry.pruned, images, precision=context.precision).correct
                self._evaluated += len(found)
                more = tuple(int(found[i : i + CHUNK].sum()) for i in range(0, len(found), CHUNK))
                score = replace(score, correct=(*score.correct, *more))
        entry.score = replace(score, trial=self._number)
        self._known.put(entry.score)


@dataclass
class _Entry:
    """One rate of a trial: its plan, its score so far, and the network once it is needed."""

    rate: float
    plan: Plan
    score: Score
    pruned: Pruned | None = None
