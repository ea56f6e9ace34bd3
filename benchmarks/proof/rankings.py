"""Rankings of a case and their top-1 on its test images, each computed once."""

from __future__ import annotations

from functools import lru_cache

from benchmarks.proof.cases import STUDIES, Case, session_of
from benchmarks.proof.studies import Stage, found
from xaiprune.attribution import Scores
from xaiprune.comparison.evaluator import TestEvaluator, curve_part
from xaiprune.comparison.methods import Method, known_presets, rank
from xaiprune.data import LabelledImages
from xaiprune.pruning import Plan
from xaiprune.recipe import Recipe
from xaiprune.session import PruningSession

# Curves have many points; each takes a third of the test images, evenly from all classes.
CURVE_IMAGES = 400
CRITERIA = ("taylor", "integrated_gradients", "activation", "magnitude_l1")
RANDOM = 3
OURS, TAYLOR = "depth_groups", "taylor"


def evaluator_of(case: Case, seed: int, compensate: str = "none") -> TestEvaluator:
    """The case's evaluator; seeds share what they have measured.

    Args:
        case: The network.
        seed: Of the reference images' draw.
        compensate: What will be measured; with any, compensation is set as it suits the network.
    """
    return _evaluator(case, seed, () if compensate == "none" else case.compensation)


@lru_cache(maxsize=2)
def _evaluator(case: Case, seed: int, more: tuple[str, ...]) -> TestEvaluator:
    folder = f"{case.name}-compensated" if more else case.name
    return TestEvaluator(session_of(case, seed, more), STUDIES / "measured" / folder)


def curve_images(evaluator: TestEvaluator) -> LabelledImages:
    """The part of the test images that curves are measured on."""
    height, width = evaluator.test.size
    part = curve_part(evaluator.test, pixels=CURVE_IMAGES * height * width)
    return evaluator.test.subset(part)


@lru_cache(maxsize=1)
def methods_of(case: Case, seed: int) -> tuple[Method, ...]:
    """Ours, the presets, the baselines and chance: rankings by the same reference images.

    Ours come first, by stage; empty without a finished search.
    """
    ours = found(case, seed)
    if OURS not in ours:
        return ()
    session = session_of(case, seed)
    ranked, left_out = rank(session, OURS, ours.pop(OURS), known_presets(None), CRITERIA, RANDOM)
    for name, reason in left_out.items():
        print(f"  {name} is left out: {reason}", flush=True)
    further = rankings(session, ours) if ours else []
    return (ranked[0], *further, *ranked[1:])


def ordered(session: PruningSession, stage: Stage | None) -> PruningSession:
    """The same network and images, with units removed in the order that a search counted on."""
    return session.with_prune(order="joint" if stage is not None and stage.joint else "score")


def planned(session: PruningSession, method: Method, rate: float) -> Plan:
    """The units that a method removes; order and compensation are the session's."""
    return session.with_prune(scope=method.prune.get("scope")).plan(method.scores, rate)


def rankings(session: PruningSession, recipes: dict[str, Recipe]) -> list[Method]:
    """Recipes as methods of kind ``best`` that rank once."""
    return [
        Method(
            name,
            "best",
            scores,
            prune={key: value for key, value in recipes[name].prune.items() if key != "order"},
        )
        for name, scores in scores_by(session, recipes).items()
    ]


def scores_by(session: PruningSession, recipes: dict[str, Recipe]) -> dict[str, Scores]:
    """Scores of several recipes, by name, from one pass over the reference images."""
    relevances = session.relevances(list(recipes.values()))
    return {
        name: session.scores(recipe, relevance)
        for (name, recipe), relevance in zip(recipes.items(), relevances, strict=True)
    }
