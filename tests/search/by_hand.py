"""What a trial should do, with the pruning package's own functions."""

from __future__ import annotations

from xaiprune.pruning import Plan, Rank, compensate, iterative_plan
from xaiprune.trial import SearchSetup


def plan_in_rounds(setup: SearchSetup, rerank: Rank, method: str, rounds: int) -> Plan:
    """Rank, prune and compensate in rounds, to a rate of 0.6."""
    session, size = setup.session, setup.config.data.batch_size
    return iterative_plan(
        session.model,
        session.units,
        0.6,
        rerank,
        rounds,
        lambda plan: compensate(
            session.model, plan, session.units, session.reference_images, method, batch_size=size
        ),
        network=session.network,
    )
