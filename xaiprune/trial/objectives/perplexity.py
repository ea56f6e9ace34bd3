"""Perplexity of next tokens at ``prune.rate``, or its mean over ``objective.rates``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from xaiprune.errors import XaipruneError
from xaiprune.registry import register_objective
from xaiprune.trial.objective import Objective

if TYPE_CHECKING:
    from xaiprune.session import PruningSession
    from xaiprune.trial.cache import Score

_LARGEST = 700.0  # whose exponential is a float


@register_objective("perplexity")
class Perplexity(Objective):
    """Perplexity of the next tokens of the validation windows; the lower, the better."""

    measure: ClassVar[str] = "perplexity"
    minimises: ClassVar[bool] = True
    fraction: ClassVar[bool] = False

    def prepared(self, session: PruningSession) -> PruningSession:
        """The session as it is.

        Raises:
            XaipruneError: The validation split is missing, or no text.
        """
        self._require_validation(session)
        if session.validation.window is None:
            raise XaipruneError(
                "objective=perplexity is of next tokens (data=text); for classes set objective=top1_at_rate"
            )
        return session

    def figure(self, score: Score, answers: int) -> float:
        """exp of the mean loss of a token."""
        return math.exp(min(sum(score.loss) / answers, _LARGEST))
