"""Top-1 of a recipe's pruned networks on the validation images: raced, and nothing measured twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from xaiprune.attribution import Relevance, Scores
from xaiprune.evaluation import Precision, TokenAccuracy
from xaiprune.pruning import Plan
from xaiprune.recipe import Recipe
from xaiprune.session import Pruned, PruningSession
from xaiprune.trial.cache import Score, ScoreCache
from xaiprune.trial.constraint import relative_cost
from xaiprune.trial.race import Race
from xaiprune.trial.result import Stopwatch

Combine = Callable[[Sequence[float], Sequence[float]], float]
Figure = Callable[[Score, int], float]


@dataclass
class Entry:
    """One rate of a trial: its plan, its score so far, and the network once it is needed."""

    rate: float
    plan: Plan
    score: Score
    pruned: Pruned | None = None


@dataclass
class Measurement:
    """One trial's measurements; objectives decide what to measure and how they become its values.

    Attributes:
        session: Network, images and units.
        recipe: What the trial tries.
        number: The trial's.
        cache: Scores of earlier trials; this trial's are added.
        watch: Takes the seconds of each step.
        relevance: Of this recipe, where it was computed together with others'.
        race: Stops a hopeless trial; None: every image counts.
        costs: Costs of the smaller network that are measured, too.
        precision: Of the networks that classify.
        kept: Unit layer -> units that are kept, at the last rate.
        evaluated: Images that were classified.
    """

    session: PruningSession
    recipe: Recipe
    number: int
    cache: ScoreCache
    watch: Stopwatch
    relevance: Relevance | None = None
    race: Race | None = None
    costs: Sequence[str] = ()
    precision: Precision = "float32"
    kept: dict[str, int] = field(default_factory=dict)
    evaluated: int = 0

    @property
    def total(self) -> int:
        """Validation images."""
        return len(self.session.validation)

    @property
    def chunks(self) -> int:
        """Chunks of validation images, the last one maybe smaller."""
        return -(-self.total // self.chunk)

    @property
    def chunk(self) -> int:
        """Images in a chunk: one step that a raced trial reports."""
        return self.session.validation.chunk

    @property
    def answers(self) -> int:
        """Labels of all validation images."""
        return self.total * self.session.validation.answers

    def ranking(self) -> Scores:
        """The recipe's scores.

        Raises:
            XaipruneError: Relevance is not finite; names the layer.
        """
        if self.relevance is None:
            with self.watch.step("attribute"):
                (self.relevance,) = self.session.relevances([self.recipe])
        return self.session.scores(self.recipe, self.relevance)

    def at(
        self, ranking: Scores, rates: Sequence[float], figure: Figure, combine: Combine
    ) -> tuple[list[tuple[float, Score]], bool]:
        """Measure a ranking at given rates, all of them chunk by chunk in a race.

        Args:
            ranking: Scores of the units.
            rates: Fractions removed.
            figure: (score, number of answers) -> what the objective measures of them.
            combine: (rates, figure at each) -> the objective's value, which the race compares.

        Returns:
            (rate, score) of each rate, and whether the trial was stopped before the last image.
        """
        entries = [self.open(ranking, rate) for rate in rates]
        if self.race is None:
            for entry in entries:
                self.measure(entry)
            return [(entry.rate, entry.score) for entry in entries], False
        for chunk in range(self.chunks):
            for entry in entries:
                self.measure(entry, chunk + 1)
            each = self.session.validation.answers
            size = min(self.chunk, self.total - chunk * self.chunk) * each
            seen_so_far = chunk * self.chunk * each + size
            alone = [figure(entry.score.part(chunk, chunk + 1), size) for entry in entries]
            running = [figure(entry.score.part(0, chunk + 1), seen_so_far) for entry in entries]
            if self.race.stops(chunk, combine(rates, alone), combine(rates, running)):
                # What an earlier trial has seen beyond this point does not count here.
                seen = [(e.rate, e.score.part(0, chunk + 1)) for e in entries]
                return seen, chunk + 1 < self.chunks
        return [(entry.rate, entry.score) for entry in entries], False

    def open(self, ranking: Scores, rate: float) -> Entry:
        """Plan a rate, and look up its score in the cache.

        Raises:
            XaipruneError: ``prune.min_units`` does not let the rate be reached.
        """
        with self.watch.step("plan"):
            plan = self.session.plan_for(self.recipe, rate, ranking)
        self.kept = {layer.name: layer.units - len(plan.removed[layer.name]) for layer in self.session.units}
        key = self.session.under(self.recipe).plan_key(plan)
        return Entry(rate, plan, self.cache.plans.get(key) or Score(key, (), self.number))

    def measure(self, entry: Entry, chunks: int | None = None) -> None:
        """Score the first chunks of an entry; None: all."""
        session, score = self.session, entry.score
        chunks = self.chunks if chunks is None else chunks
        missing = len(score.correct) < chunks
        unpriced = any(cost not in score.cost for cost in self.costs)
        if not missing and not unpriced:
            return
        with self.watch.step("evaluate"):
            if entry.pruned is None:
                entry.pruned = session.under(self.recipe).pruned(entry.plan)
            if unpriced:
                score = replace(score, cost=relative_cost(session, entry.plan, entry.pruned, self.costs))
            if missing:
                start, stop = len(score.correct) * self.chunk, min(chunks * self.chunk, self.total)
                whole = start == 0 and stop == self.total
                images = session.validation if whole else session.validation.subset(slice(start, stop))
                measured = session.accuracy(entry.pruned, images, precision=self.precision)
                found = measured.per_image
                assert found is not None
                self.evaluated += len(found)
                more = tuple(int(found[i : i + self.chunk].sum()) for i in range(0, len(found), self.chunk))
                loss = measured.loss.tolist() if isinstance(measured, TokenAccuracy) else ()
                score = replace(score, correct=(*score.correct, *more), loss=(*score.loss, *loss))
        entry.score = replace(score, trial=self.number)
        self.cache.put(entry.score)
