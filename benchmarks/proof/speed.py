"""What the found networks cost once they are smaller: parameters, multiply-adds, latency.

Run it alone: times mean something only where nothing else does.
"""

from __future__ import annotations

from statistics import median, quantiles

from torch import nn

from benchmarks.latency import in_turn
from benchmarks.proof.cases import Case, session_of
from benchmarks.proof.kept import COMPENSATE, chosen_search
from benchmarks.proof.rankings import OURS, TAYLOR, planned, rankings
from benchmarks.proof.studies import DEPTH_GROUPS, found
from benchmarks.proof.tables import Table, made_of
from xaiprune.evaluation import cost
from xaiprune.recipe import PRESETS
from xaiprune.session import PruningSession

NAME = "speed"
ABOUT = (
    "Networks made smaller, as parts of the dense one: parameters, multiply-adds, and latency (median and "
    "quartiles of five rounds in which both are timed in turn), by batch size; nothing else was running"
)
BATCHES, ROUNDS = (1, 32), 5


def run(case: Case, seed: int) -> None:
    """Time what the first search and the best ones found, at their rates, and Taylor at the first's."""
    table = Table(NAME, ABOUT)
    chosen = [stage for method in COMPENSATE if (stage := chosen_search(case, seed, method))]
    stages = {stage.name: stage for stage in (DEPTH_GROUPS, *chosen)}
    recipes = found(case, seed, stages.values())
    if OURS not in recipes:
        return
    of = made_of(case, recipes, BATCHES, ROUNDS)
    if table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    session = session_of(case, seed)
    rows = []
    for method in rankings(session, {**recipes, TAYLOR: PRESETS[TAYLOR]}):
        rate = stages[method.name].rate(case) if method.name in stages else case.rate
        assert rate is not None, f"{case.name}: {method.name} was found at some rate"
        # (Which units leave a layer, the joint order has no say in how many.)
        plan = planned(session, method, rate)
        # What compensation adds to weights and biases changes neither shapes nor times.
        smaller = session.with_prune(compensate="none").pruned(plan, smaller=True).model
        figures = {"method": method.name, "rate": rate, **_compared(session, smaller)}
        print(f"  {method.name:<20} {rate:g} {figures}", flush=True)
        rows.append(figures)
    table.replace(case, seed, of, rows)


def _compared(session: PruningSession, smaller: nn.Module) -> dict[str, float]:
    """The smaller network's costs as parts of the dense one's."""
    example = session.reference_images[:1]
    before, after = cost(session.model, example), cost(smaller, example)
    figures: dict[str, float] = {"params": after.params / before.params, "macs": after.macs / before.macs}
    for batch in BATCHES:
        rounds = in_turn(session.model, smaller, example, batch, ROUNDS)
        ratios = [small.median / dense.median for dense, small in rounds]
        low, _, high = quantiles(ratios, n=4)
        figures |= {f"batch{batch}": median(ratios), f"batch{batch}_low": low, f"batch{batch}_high": high}
    return figures
