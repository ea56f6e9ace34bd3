"""What ranking in rounds (``prune.steps``) is worth: again on the network as pruned and compensated so far.

Searches rank once; this is what can be done with what they found, and with a preset, without a search.
"""

from __future__ import annotations

from torch import nn

from benchmarks.proof.bench import meter_of
from benchmarks.proof.cases import Case
from benchmarks.proof.kept import COMPENSATE, SEARCHED, strongest_preset
from benchmarks.proof.studies import found
from benchmarks.proof.tables import Table, made_of
from xaiprune.attribute import Scores
from xaiprune.prune import Plan, compensate, iterative_plan
from xaiprune.search import Context
from xaiprune.search.meter import plain_figures
from xaiprune.search.methods import proposal_of_preset
from xaiprune.search.proposal import Proposal
from xaiprune.search.ranking import relevances_of, scores_of

NAME = "rounds"
ABOUT = (
    "Top-1 on all 1,200 test images where the strongest preset has lost half (ranked once), by the rounds in "
    "which units are ranked and leave: that preset, and what the last search found (which ranked once)"
)
ROUNDS = (1, 3)


def run(case: Case, seed: int) -> None:
    """Measure the preset and the last search's recipe, by compensation and rounds."""
    table, ours = Table(NAME, ABOUT), found(case, seed, dict.fromkeys(sum(SEARCHED.values(), ())))
    recipes: dict[str, tuple[float, dict[str, Proposal]]] = {}
    for method in COMPENSATE:
        known, mine = strongest_preset(case, method), [s.name for s in SEARCHED[method] if s.name in ours]
        if known is not None and mine:
            rate, preset = known
            recipes[method] = rate, {preset: proposal_of_preset(preset), mine[-1]: ours[mine[-1]]}
    of = made_of(case, recipes, ROUNDS, case.compensation)
    if not recipes or table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    rows = []
    for method, (rate, proposals) in recipes.items():
        meter = meter_of(case, seed, method)
        for name, proposal in proposals.items():
            for rounds in ROUNDS:
                plan = plan_in_rounds(meter.bench, proposal, rate, rounds, method)
                figures = meter.figures_of(plan, method)
                print(f"  {method:<7} {name:<20} {rounds} rounds {figures['top1']:.1%}", flush=True)
                rows.append(
                    {
                        "compensate": method,
                        "rate": rate,
                        "method": name,
                        "rounds": rounds,
                        **plain_figures(figures),
                    }
                )
    table.replace(case, seed, of, rows)


def plan_in_rounds(context: Context, proposal: Proposal, rate: float, rounds: int, method: str) -> Plan:
    """The plan of a recipe that is ranked with several times.

    Args:
        context: Network, references, units.
        proposal: The recipe.
        rate: Fraction removed in the end.
        rounds: How often it ranks; 1 is the plan of a trial.
        method: Of the compensation between the rounds.
    """
    prune = context.config.prune

    def rank(model: nn.Module) -> Scores:
        (relevance,) = relevances_of(
            model,
            context.reference_images,
            context.dataset.reference.labels.to(context.device),
            context.units,
            [proposal],
            task=context.task,
            batch_size=context.config.attribution.batch_size,
        )
        return scores_of(relevance, proposal, context.units, context.layers)

    def compensated(plan: Plan) -> nn.Module:
        return compensate(
            context.model,
            plan,
            context.units,
            context.reference_images,
            method,
            sequential=prune.sequential,
            batch_size=context.config.data.batch_size,
        )

    return iterative_plan(
        context.model,
        context.units,
        rate,
        rank,
        rounds,
        compensated,
        scope=proposal.scope or prune.scope,
        floor=prune.floor,
        network=context.network,
    )
