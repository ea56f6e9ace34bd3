"""Does a composite travel: one seed's best with another seed's reference images, and to another rate."""

from __future__ import annotations

from benchmarks.proof.bench import OURS, meter_of, rankings
from benchmarks.proof.cases import Case, context_of
from benchmarks.proof.studies import found
from benchmarks.proof.tables import Table, made_of
from benchmarks.proof.worth import TAYLOR
from xaiprune.search.methods import proposal_of_preset

NAME = "travel"
ABOUT = (
    "Top-1 on all 1,200 test images of the best found with one draw of references (column searched_with) "
    "when the references are those of another draw (column seed), at the rate that was searched; Taylor "
    "beside it"
)


def run(case: Case, seed: int) -> None:
    """Rank with this seed's references by every seed's recipe."""
    table = Table(NAME, ABOUT)
    recipes = {str(of): recipe for of in case.seeds if (recipe := found(case, of).get(OURS)) is not None}
    if len(recipes) < 2:
        return
    recipes[TAYLOR] = proposal_of_preset(TAYLOR)
    of = made_of(case, recipes)
    if table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    meter = meter_of(case, seed)
    rows = []
    for method in rankings(context_of(case, seed), recipes):
        figures = meter.figures(method, case.rate)
        print(f"  recipe {method.name:<8} {figures['top1']:.1%}", flush=True)
        kept = {key: figures[key] for key in ("top1", "low", "high", "correct", "total")}
        rows.append({"searched_with": method.name, "rate": case.rate, **kept})
    table.replace(case, seed, of, rows)
