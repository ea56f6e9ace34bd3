"""What a trial's value is. Each objective is a class in ``objectives/``, registered by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Self

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from xaiprune.errors import XaipruneError
from xaiprune.registry import OBJECTIVES
from xaiprune.trial.cache import Score
from xaiprune.trial.constraint import COSTS, Constraint, constraint_of
from xaiprune.trial.result import Result

if TYPE_CHECKING:
    from xaiprune.config import Config
    from xaiprune.recipe import Recipe
    from xaiprune.session import PruningSession
    from xaiprune.trial.measure import Measurement

Measured = Sequence[tuple[float, Score]]
"""(rate, score), in the order of measuring."""


@dataclass(frozen=True)
class Objective:
    """Where to measure, and how the figures become a trial's values.

    This class is top-1 averaged over given rates; others override what they do differently.

    Attributes:
        name: As in ``objective.name``.
        rates: Rates at which a trial's ranking is measured, rising.
        keep: Part of the dense top-1 to keep, where the objective asks for one.
        cost: Second value, the lower the better: this cost of the smaller network, as a part of the dense
            one's, averaged over the rates; None: there is one value only.
        constraints: Bounds on what a good trial may cost or lose.
        default_rates: Of the class: rates where none are configured; None: ``prune.rate``.
        measure: Of the class: what is measured at each rate, for people.
        minimises: Of the class: whether a lower value is better.
        fraction: Of the class: whether a value is a fraction, which people read in percent.
        prunes: Of the class: whether trials prune. If not, heatmaps count, and nothing that turns relevance
            into a ranking has an effect.
        finds_rate: Of the class: whether a trial searches the rate itself.
        without_effect: Of the class: keys of the ``objective`` section that it refuses, and why.
    """

    name: str
    rates: tuple[float, ...]
    keep: float = 0.95
    cost: str | None = None
    constraints: tuple[Constraint, ...] = ()

    default_rates: ClassVar[tuple[float, ...] | None] = None
    measure: ClassVar[str] = "top-1"
    minimises: ClassVar[bool] = False
    fraction: ClassVar[bool] = True
    prunes: ClassVar[bool] = True
    finds_rate: ClassVar[bool] = False
    without_effect: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """The objective as configured.

        Raises:
            XaipruneError: A setting has no effect with it, rates do not rise, or a constraint cannot be read.
        """
        wanted = config.objective
        for key, reason in cls.without_effect.items():
            if getattr(wanted, key):
                raise XaipruneError(
                    f"objective.{key} has no effect with objective.name={wanted.name}: {reason}"
                )
        default = (config.prune.rate,) if cls.default_rates is None else cls.default_rates
        rates = tuple(wanted.rates or default)
        if any(later <= earlier for earlier, later in pairwise(rates)):
            raise XaipruneError(f"objective.rates must rise, got {list(rates)}")
        constraints = tuple(constraint_of(text) for text in wanted.constraints)
        return cls(wanted.name, rates, wanted.keep_top1, wanted.cost, constraints)

    def prepared(self, session: PruningSession) -> PruningSession:
        """The session as trials are measured in it.

        Raises:
            XaipruneError: There are no validation images, or they lack the labels that the objective needs.
        """
        self._require_validation(session)
        if not session.validation.labelled:
            raise XaipruneError(
                f"the validation images have no labels, which objective={self.name} needs: set "
                "objective=agreement, or sort them into class folders"
            )
        return session

    def _require_validation(self, session: PruningSession) -> None:
        _ = session.validation.size  # where the split is missing, its error says what to set

    # -- the values of a trial -----------------------------------------------------------------------------

    def figure(self, score: Score, answers: int) -> float:
        """What is measured of one network: top-1, a fraction.

        Args:
            score: Of some images.
            answers: Their labels.
        """
        return score.total / answers

    def combine(self, rates: Sequence[float], figures: Sequence[float]) -> float:
        """The value of the figures at rising rates; also what racing trials are compared by."""
        return sum(figures) / len(figures)

    def evaluate(self, measurement: Measurement) -> Result:
        """Measure a recipe.

        Raises:
            XaipruneError: Relevance or logits are not finite; names the layer.
        """
        rate = measurement.recipe.rate
        rates = self.rates if rate is None else (rate,)
        scores, stopped = measurement.at(measurement.ranking(), rates, self.figure, self.combine)
        return self.result(measurement, scores, stopped=stopped)

    def reused(self, measurement: Measurement) -> Result | None:
        """The result of an earlier trial with the same recipe; None where there was none."""
        scores = measurement.cache.recipes.get(measurement.recipe.key)
        return None if scores is None else self.result(measurement, scores)

    def result(self, measurement: Measurement, scores: Measured, *, stopped: bool = False) -> Result:
        """The objective's values of what was measured."""
        sources = {score.trial for _, score in scores}
        return Result(
            values=None if stopped else self._values(measurement, scores),
            scores=tuple(scores),
            kept=measurement.kept,
            evaluated=measurement.evaluated,
            wanted=measurement.total * len(scores),
            reused=None if measurement.number in sources else max(sources),
            constraints={} if stopped else self._excesses(measurement, scores),
        )

    def value(self, measurement: Measurement, scores: Measured) -> float:
        """The first value."""
        rates = [rate for rate, _ in scores]
        return self.combine(rates, [self.figure(score, measurement.answers) for _, score in scores])

    def quantities(self, measurement: Measurement, scores: Measured) -> dict[str, float]:
        """Top-1 and the requested costs, means over the rates."""
        count = len(scores)
        quantities = {"top1": sum(score.total for _, score in scores) / (measurement.answers * count)}
        for cost in self.costs:
            quantities[cost] = sum(score.cost[cost] for _, score in scores) / count
        return quantities

    def _values(self, measurement: Measurement, scores: Measured) -> tuple[float, ...]:
        value = self.value(measurement, scores)
        if self.cost is None:
            return (value,)
        return value, self.quantities(measurement, scores)[self.cost]

    def _excesses(self, measurement: Measurement, scores: Measured) -> dict[str, float]:
        if not self.constraints:
            return {}
        quantities = self.quantities(measurement, scores)
        return {constraint.text: constraint.excess(quantities) for constraint in self.constraints}

    # -- for the rest of the program -----------------------------------------------------------------

    @property
    def directions(self) -> list[StudyDirection]:
        """As Optuna takes them."""
        first = StudyDirection.MINIMIZE if self.minimises else StudyDirection.MAXIMIZE
        return [first, *([] if self.cost is None else [StudyDirection.MINIMIZE])]

    @property
    def costs(self) -> tuple[str, ...]:
        """Which costs of the smaller network have to be measured."""
        wanted = {constraint.quantity for constraint in self.constraints} | {self.cost}
        return tuple(cost for cost in COSTS if cost in wanted)

    @property
    def can_race(self) -> bool:
        """Whether a trial's running value can be compared with others'."""
        return self.prunes and not self.finds_rate and self.cost is None

    def settings(self) -> dict[str, Any]:
        """What a study's fingerprint stores of the objective."""
        found: dict[str, Any] = {"name": self.name, "rates": list(self.rates)}
        if self.finds_rate:
            found["keep"] = self.keep
        if self.cost is not None:
            found["cost"] = self.cost
        if self.constraints:
            found["constraints"] = [constraint.text for constraint in self.constraints]
        return found

    def rate_of(self, trial: FrozenTrial, recipe: Recipe, rate: float) -> float:
        """The rate of a finished trial.

        Args:
            trial: With its values.
            recipe: What it tried.
            rate: ``prune.rate``.
        """
        return rate if recipe.rate is None else recipe.rate

    @classmethod
    def value_name(cls, stored: Mapping[str, Any], rate_is_searched: bool = False) -> str:
        """What a study's value is, as it is shown.

        Args:
            stored: As `settings` gives it.
            rate_is_searched: Whether the space has the rate.
        """
        rates = stored["rates"]
        if len(rates) > 1:
            return f"mean {cls.measure} over {len(rates)} rates"
        return cls.measure if rate_is_searched else f"{cls.measure} at {rates[0]:.4g} removed"


def objective_of(config: Config) -> Objective:
    """The objective that a configuration asks for.

    Raises:
        XaipruneError: Unknown name, or as `Objective.from_config`.
    """
    kind: type[Objective] = OBJECTIVES.find(config.objective.name, "objective.name")
    return kind.from_config(config)
