"""What ranking in rounds (``prune.rounds``) is worth: again on the network as pruned and compensated so far.

Searches rank once; this is what can be done with what they found, and with a preset, without a search.
"""

from __future__ import annotations

from benchmarks.proof.cases import Case
from benchmarks.proof.kept import COMPENSATE, chosen_search, strongest_preset
from benchmarks.proof.rankings import evaluator_of, ordered, scores_by
from benchmarks.proof.studies import Stage, found
from benchmarks.proof.tables import Table, made_of
from xaiprune.comparison.evaluator import plain_figures
from xaiprune.recipe import PRESETS, Recipe

NAME = "rounds"
ABOUT = (
    "Top-1 on all 1,200 test images where the strongest preset has lost half (ranked once), by the rounds in "
    "which units are ranked and leave: that preset, and the search that is best on validation images (and "
    "ranked once)"
)
ROUNDS = (1, 3)


def run(case: Case, seed: int) -> None:
    """Measure the preset and the best search's recipe, by compensation and rounds."""
    table = Table(NAME, ABOUT)
    recipes: dict[str, tuple[float, dict[str, Recipe]]] = {}
    searches: dict[str, Stage] = {}
    for method in COMPENSATE:
        known, search = strongest_preset(case, method), chosen_search(case, seed, method)
        if known is not None and search is not None:
            (rate, preset), ours = known, found(case, seed, [search])
            recipes[method] = rate, {preset: PRESETS[preset], **ours}
            searches[search.name] = search
    of = made_of(case, recipes, ROUNDS, case.compensation)
    if not recipes or table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    rows = []
    for method, (rate, used) in recipes.items():
        evaluator = evaluator_of(case, seed, method)
        for rounds in ROUNDS:
            session = evaluator.session.with_prune(rounds=rounds)
            for name, scores in scores_by(session, used).items():
                recipe = used[name]
                bench = ordered(session, searches.get(name)).with_prune(scope=recipe.scope)
                plan = bench.plan(scores, rate, rerank=session.ranker(recipe))
                figures = evaluator.figures_of(plan)  # is about the plan, however it was made
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
