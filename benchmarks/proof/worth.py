"""What each dimension is worth: the best found with one of its choices taken back; and how many references.

Every variant prunes at the rate that was searched and is measured on all test images, so what a choice brings
is the difference to the first row of the same seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.proof.cases import Case, session_of
from benchmarks.proof.kept import chosen_search
from benchmarks.proof.rankings import OURS, TAYLOR, curve_images, evaluator_of, ordered, rankings, scores_by
from benchmarks.proof.studies import found
from benchmarks.proof.tables import Table, made_of
from xaiprune.attribution import Composite
from xaiprune.attribution.lrp.rules import AlphaBeta, Epsilon, Gamma, Rule
from xaiprune.comparison.evaluator import TestEvaluator, plain_figures, right_images
from xaiprune.evaluation import paired
from xaiprune.recipe import PRESETS, Recipe
from xaiprune.session import PruningSession

NAME, CHOSEN, REFERENCES = "dimensions", "dimensions_chosen", "references"
ABOUT = (
    "Top-1 on all 1,200 test images of the best found (space depth_groups, 100 references), and of the "
    "same recipe with one choice taken back. difference: to the best found of the same seed; p: "
    "McNemar's exact test"
)
ABOUT_CHOSEN = (
    "As dimensions.csv, of the best search where the strongest preset has lost half without compensation (by "
    "its validation images): at its rate, in its order (prune.order)"
)
ABOUT_REFERENCES = (
    "Top-1 on 400 test images of the best found and of Taylor by reference images a class: the first so many "
    "of 30 drawn at random (the recipe itself was searched with 10)"
)
COUNTS = (1, 2, 5, 10, 30)
_LRP = {"softmax": "attnlrp", "activation": "identity", "norm": "detach", "product": "uniform"}
_GRADIENT = Epsilon(0.0)


def run(case: Case, seed: int) -> None:
    """Measure the variants of one case's and seed's best."""
    table, recipe = Table(NAME, ABOUT), found(case, seed).get(OURS)
    if recipe is None:
        return
    recipes = {OURS: recipe, **variants(recipe)}
    of = made_of(case, recipes)
    if table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    evaluator = evaluator_of(case, seed)
    measured = [(name, recipe, evaluator.session) for name, recipe in recipes.items()]
    table.replace(case, seed, of, _rows(evaluator, case.rate, measured))


def run_chosen(case: Case, seed: int) -> None:
    """Measure the variants of what the best search found where half is lost, without compensation."""
    table, search = Table(CHOSEN, ABOUT_CHOSEN), chosen_search(case, seed, "none")
    if search is None or search.name == OURS:
        return
    best, rate = found(case, seed, [search])[search.name], search.rate(case)
    recipes = {search.name: best, **variants(best), **further_variants(best)}
    of = made_of(case, rate, search.joint, recipes)
    if rate is None or table.has(case, seed, of):
        return
    print(f"{CHOSEN}: {case.name}, seed {seed}", flush=True)
    evaluator = evaluator_of(case, seed)
    session = ordered(evaluator.session, search)
    measured = [(name, recipe, session) for name, recipe in recipes.items()]
    if search.joint:
        measured.append(("order: score", best, evaluator.session))
    rows = _rows(evaluator, rate, measured)
    table.replace(case, seed, of, [{"search": search.name, **row} for row in rows])


def run_references(case: Case, seed: int) -> None:
    """Measure the best found and Taylor with fewer and more reference images."""
    table, recipe = Table(REFERENCES, ABOUT_REFERENCES), found(case, seed).get(OURS)
    if recipe is None:
        return
    of = made_of(case, recipe, COUNTS)
    if table.has(case, seed, of):
        return
    print(f"{REFERENCES}: {case.name}, seed {seed}", flush=True)
    session = session_of(case, seed, (f"data.reference_per_class={max(COUNTS)}",))
    evaluator = evaluator_of(case, seed)
    part, rate = curve_images(evaluator), case.rate
    rows = []
    for count in COUNTS:
        recipes = {
            name: replace(recipe, references=count)
            for name, recipe in ((OURS, recipe), (TAYLOR, PRESETS[TAYLOR]))
        }
        for method in rankings(session, recipes):
            figures = evaluator.figures(method, rate, part)
            print(f"  {count} a class: {method.name:<14} {figures['top1']:.1%}", flush=True)
            rows.append({"method": method.name, "references": count, "rate": rate, **plain_figures(figures)})
    table.replace(case, seed, of, rows)


def variants(best: Recipe) -> dict[str, Recipe]:
    """The best found with one choice at a time as the papers or Taylor have it, where it has another."""
    taylor = PRESETS[TAYLOR]
    composite, aggregation = best.composite, best.aggregation
    tried = {
        "the papers' epsilon, gamma, alpha": replace(best, composite=fixed_numbers(composite)),
        "gradient in every layer": replace(
            best, composite=replace(best.composite, default=_GRADIENT, layers=())
        ),
        "between: lrp": replace(best, composite=replace(composite, **_LRP)),
        "start: one": replace(best, start="one"),
        "start: logit": replace(best, start="logit"),
        "aggregate: abs_of_sum": replace(best, aggregation=replace(aggregation, mode="abs_of_sum")),
        "image_weight: as_is": replace(best, aggregation=replace(aggregation, image_weight="as_is")),
        "normalize: none": replace(best, aggregation=replace(aggregation, normalize="none")),
        "Taylor's rules, our ranking": replace(best, composite=taylor.composite),
        "our rules, Taylor's ranking": replace(best, start=taylor.start, aggregation=taylor.aggregation),
        "Taylor": PRESETS[TAYLOR],
    }
    return _others(best, tried)


def further_variants(best: Recipe) -> dict[str, Recipe]:
    """Also without scales, and with signs lost before relevance is summed over tokens or space."""
    unsigned = replace(best, aggregation=replace(best.aggregation, mode="sum_of_abs"))
    return _others(best, {"aggregate: sum_of_abs": unsigned, "scale: none": replace(best, scale={})})


def _others(best: Recipe, tried: dict[str, Recipe]) -> dict[str, Recipe]:
    return {name: recipe for name, recipe in tried.items() if recipe.key != best.key}


def fixed_numbers(composite: Composite) -> Composite:
    """The same rules with the numbers of the papers' grid (Hatefi et al. 2024, section 4.1)."""
    return replace(
        composite,
        default=_fixed(composite.default),
        layers=tuple((match, _fixed(rule, match.types)) for match, rule in composite.layers),
    )


def _fixed(rule: Rule, types: tuple[str, ...] = ()) -> Rule:
    match rule:
        case Epsilon():
            return rule if rule.epsilon == 0 else replace(rule, epsilon=1e-6)
        case Gamma():
            return replace(rule, gamma=0.05 if types == ("linear",) else 0.25)
        case AlphaBeta():
            return replace(rule, alpha=2.0, beta=1.0)
    return rule


def _rows(
    evaluator: TestEvaluator, rate: float, measured: Sequence[tuple[str, Recipe, PruningSession]]
) -> Iterator[dict[str, Any]]:
    """A row for each recipe, planned as its session does; the first is what the others are compared with."""
    scores = scores_by(evaluator.session, {name: recipe for name, recipe, _ in measured})
    best = None
    for name, _, session in measured:
        figures = evaluator.figures_of(session.plan(scores[name], rate))
        best = best or figures
        print(f"  {name:<36} {figures['top1']:.1%}", flush=True)
        yield {
            "variant": name,
            "rate": rate,
            **plain_figures(figures),
            "difference": figures["top1"] - best["top1"],
            "p": paired(right_images(best), right_images(figures)).p,
        }
