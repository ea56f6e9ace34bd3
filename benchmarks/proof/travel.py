"""Does a composite travel: one seed's best with another seed's reference images, and to another task.

(To other rates: the curves show it, every one of which is of a recipe that was searched at one rate.)
"""

from __future__ import annotations

from benchmarks.proof.cases import STUDIES, Case, session_of
from benchmarks.proof.kept import chosen_search
from benchmarks.proof.rankings import OURS, TAYLOR, curve_images, evaluator_of, ordered, planned, rankings
from benchmarks.proof.studies import JOINT, found
from benchmarks.proof.tables import Table, made_of
from xaiprune.comparison.evaluator import TestEvaluator, plain_figures
from xaiprune.recipe import PRESETS

NAME, CHOSEN, TASKS = "travel", "travel_chosen", "tasks"
ABOUT = (
    "Top-1 on all 1,200 test images of the best found with one draw of references (column searched_with) "
    "when the references are those of another draw (column seed), at the rate that was searched; Taylor "
    "beside it"
)
ABOUT_CHOSEN = (
    "As travel.csv, of the best searches where the strongest preset has lost half without compensation: at "
    "that rate, each recipe in the order that it was searched in (prune.order); Taylor in the joint order"
)
ABOUT_TASKS = (
    "Top-1 on 400 test images among the ten classes' logits (10 of 1000) by the best found among all 1,000, "
    "with the same references; Taylor (on ten logits, too) beside it"
)


def run(case: Case, seed: int) -> None:
    """Rank with this seed's references by every seed's recipe."""
    table = Table(NAME, ABOUT)
    recipes = {str(of): recipe for of in case.seeds if (recipe := found(case, of).get(OURS)) is not None}
    if len(recipes) < 2:
        return
    recipes[TAYLOR] = PRESETS[TAYLOR]
    of = made_of(case, recipes)
    if table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    evaluator = evaluator_of(case, seed)
    rows = []
    for method in rankings(session_of(case, seed), recipes):
        figures = evaluator.figures(method, case.rate)
        print(f"  recipe {method.name:<8} {figures['top1']:.1%}", flush=True)
        rows.append({"searched_with": method.name, "rate": case.rate, **plain_figures(figures)})
    table.replace(case, seed, of, rows)


def run_chosen(case: Case, seed: int) -> None:
    """The same with what the best searches found where half is lost, without compensation."""
    table = Table(CHOSEN, ABOUT_CHOSEN)
    searches = {str(of): search for of in case.seeds if (search := chosen_search(case, of, "none"))}
    rate = case.half_rate
    if rate is None or len(searches) < 2 or any(search.name == OURS for search in searches.values()):
        return
    recipes = {of: found(case, int(of), [search])[search.name] for of, search in searches.items()}
    recipes[TAYLOR], searches[TAYLOR] = PRESETS[TAYLOR], JOINT
    of = made_of(case, rate, {name: search.joint for name, search in searches.items()}, recipes)
    if table.has(case, seed, of):
        return
    print(f"{CHOSEN}: {case.name}, seed {seed}", flush=True)
    evaluator = evaluator_of(case, seed)
    rows = []
    for method in rankings(session_of(case, seed), recipes):
        search = searches[method.name]
        plan = planned(ordered(evaluator.session, search), method, rate)
        figures = evaluator.figures_of(plan)
        print(f"  recipe {method.name:<8} {figures['top1']:.1%}", flush=True)
        made = {"searched_with": method.name, "search": search.name, "rate": rate}
        rows.append({**made, **plain_figures(figures)})
    table.replace(case, seed, of, rows)


def run_tasks(case: Case, seed: int) -> None:
    """Use a recipe that was searched among all outputs where only ten count."""
    table, recipe = Table(TASKS, ABOUT_TASKS), found(case, seed).get(OURS)
    if recipe is None or "data.task=all" not in case.overrides:
        return
    recipes = {OURS: recipe, TAYLOR: PRESETS[TAYLOR]}
    of = made_of(case, recipes)
    if table.has(case, seed, of):
        return
    print(f"{TASKS}: {case.name}, seed {seed}", flush=True)
    session = session_of(case, seed, ("data.task=classes",))
    evaluator = TestEvaluator(session, STUDIES / "measured" / f"{case.name}-classes")
    part = curve_images(evaluator)
    rows = []
    for method in rankings(session, recipes):
        for rate in (0.0, *case.rates):
            figures = evaluator.figures(method, rate, part)
            rows.append({"method": method.name, "rate": rate, **plain_figures(figures)})
        print(f"  {method.name:<14} curve done", flush=True)
    table.replace(case, seed, of, rows)
