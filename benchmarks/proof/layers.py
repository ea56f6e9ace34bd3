"""Where the units go: how many each layer loses under the best found and under Taylor."""

from __future__ import annotations

from benchmarks.proof.cases import Case, session_of
from benchmarks.proof.rankings import OURS, TAYLOR, planned, rankings
from benchmarks.proof.studies import found
from benchmarks.proof.tables import Table, made_of
from xaiprune.recipe import PRESETS

NAME = "layers"
ABOUT = (
    "Units that each layer loses at the rate that was searched; shared: how many of them the other ranking "
    "of the same seed removes, too"
)


def run(case: Case, seed: int) -> None:
    """Plan with both rankings of one seed."""
    table, recipe = Table(NAME, ABOUT), found(case, seed).get(OURS)
    if recipe is None:
        return
    of = made_of(case, recipe)
    if table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    session = session_of(case, seed)
    methods = rankings(session, {OURS: recipe, TAYLOR: PRESETS[TAYLOR]})
    plans = {method.name: planned(session, method, case.rate).removed for method in methods}
    rows = []
    for name, other in ((OURS, TAYLOR), (TAYLOR, OURS)):
        for unit in session.units:
            mine, theirs = (set(plans[which].get(unit.name, ())) for which in (name, other))
            rows.append(
                {
                    "method": name,
                    "layer": unit.name,
                    "units": unit.units,
                    "removed": len(mine),
                    "shared": len(mine & theirs),
                }
            )
    table.replace(case, seed, of, rows)
