"""Agreement with the dense network at ``prune.rate``, or its mean over ``objective.rates``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from xaiprune.registry import register_objective
from xaiprune.trial.objective import Objective

if TYPE_CHECKING:
    from xaiprune.session import PruningSession


@register_objective("agreement")
class Agreement(Objective):
    """Fraction of the validation images, labelled or not, that the dense network would classify likewise."""

    measure: ClassVar[str] = "agreement with the dense network"

    def prepared(self, session: PruningSession) -> PruningSession:
        """The session with the dense network's predictions in place of labels."""
        from xaiprune.session import scored_by_agreement

        self._require_validation(session)
        return scored_by_agreement(session)
