"""One trial: from a proposal to its value."""

from __future__ import annotations

from typing import Any

import numpy as np

from xaiprune.attribute import Relevance
from xaiprune.evaluate import Accuracy
from xaiprune.search import explaining
from xaiprune.search.context import Context
from xaiprune.search.known import Known, Score
from xaiprune.search.measuring import Measuring, Result, Stopwatch
from xaiprune.search.proposal import Proposal
from xaiprune.search.race import CHUNK, Race
from xaiprune.search.ranking import scores_of


def run(
    context: Context,
    proposal: Proposal,
    number: int,
    known: Known,
    watch: Stopwatch,
    relevance: Relevance | None = None,
    race: Race | None = None,
) -> Result:
    """Attribute, rank, plan, prune, measure.

    Args:
        context: What all trials share.
        proposal: What this one tries.
        number: The trial's, for what it measures.
        known: Scores that need not be measured again; gets those of this trial.
        watch: Takes the seconds of each step.
        relevance: Of this proposal, where it has been computed together with others'.
        race: Stops a hopeless trial; None: every image counts.

    Raises:
        XaipruneError: Relevance or logits are not finite; names the layer.
    """
    if context.objective.explains:
        return explaining.run(context, proposal, number, known, watch)
    measuring = Measuring(context, proposal, number, known, watch, race)
    finished = known.proposals.get(proposal.key)
    if finished is not None:
        return measuring.result(finished)
    if relevance is None:
        with watch.step("attribute"):
            (relevance,) = context.relevances([proposal])
    ranking = scores_of(relevance, proposal, context.units, context.layers)
    if context.objective.bisects:
        return measuring.highest_rate(ranking)
    rates = context.objective.rates if proposal.rate is None else (proposal.rate,)
    return measuring.at(ranking, rates)


def attributes(context: Context, proposal: Proposal, result: Result, watch: Stopwatch) -> dict[str, Any]:
    """What is stored with the trial, beside parameters and value."""
    stored: dict[str, Any] = {
        "proposal": proposal.to_dict(),
        "key": proposal.key,
        "scores": [_score(rate, score, len(context.validation)) for rate, score in result.scores],
        "seconds": {step: round(seconds, 4) for step, seconds in watch.seconds.items()},
        "evaluated": result.evaluated,
        "images": result.wanted,
    }
    # For people who look at a trial in a dashboard, where the proposal is a line of JSON.
    stored |= {"composite": proposal.summary()}
    if len(stored["scores"]) == 1:
        (only,) = stored["scores"]
        stored["top-1"] = (
            f"{only['top1']:.1%} [{only['low']:.1%}, {only['high']:.1%}] of {only['images']} images at rate "
            f"{only['rate']:g}"
        )
    if result.faithfulness is not None:
        stored["faithfulness"] = dict(result.faithfulness)
    if result.kept:
        stored["kept"] = dict(result.kept)
    if result.reused is not None:
        stored["reused_from"] = result.reused
    return stored


def _score(rate: float, score: Score, total: int) -> dict[str, Any]:
    seen = min(total, len(score.correct) * CHUNK)
    found = Accuracy(np.arange(seen) < score.total)
    low, high = found.interval()
    stored = {
        "rate": rate,
        "plan": score.plan,
        "correct": score.total,
        "images": seen,
        "top1": found.top1,
        "low": low,
        "high": high,
        "chunks": list(score.correct),
    }
    return stored | ({"cost": dict(score.cost)} if score.cost else {})
