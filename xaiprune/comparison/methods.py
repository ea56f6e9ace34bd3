"""Who is compared: the best, the presets, baseline criteria and chance, each a ranking of the same units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from xaiprune.attribution import CRITERIA, Scores
from xaiprune.recipe import PRESETS
from xaiprune.attribution.criteria import criterion
from xaiprune.errors import XaipruneError
from xaiprune.pruning import Rank
from xaiprune.session.session import Context
from xaiprune.recipe.recipe import Recipe
from xaiprune.recipe.ranking import scores_of


@dataclass(frozen=True)
class Method:
    """A ranking, and how it is carried out where that differs from the configuration.

    Attributes:
        name: For people.
        kind: ``best``, ``preset``, ``criterion`` or ``random``.
        scores: One number a unit.
        seed: Of a random ranking.
        scope: In place of ``prune.scope``.
        compensate: In place of ``prune.compensate``.
        rerank: Ranks the pruned network in further rounds (``prune.rounds``); None: the scores hold there, too.
        order: In place of ``prune.order``.
    """

    name: str
    kind: str
    scores: Scores
    seed: int | None = None
    scope: str | None = None
    compensate: str | None = None
    rerank: Rank | None = None
    order: str | None = None


def known_presets(names: Sequence[str] | None) -> list[str]:
    """Presets by name; None: all.

    Raises:
        XaipruneError: There is no preset of that name.
    """
    # The taylor preset is LRP's way to the taylor criterion, which is compared anyway.
    chosen = [name for name in PRESETS if name != "taylor"] if names is None else list(names)
    for name in chosen:
        if name not in PRESETS:
            raise XaipruneError(f"preset '{name}' is unknown, choose from {', '.join(PRESETS)}")
    return chosen


def known_criteria(names: Sequence[str] | None) -> list[str]:
    """Criteria by name; None: all but chance, which is compared by seeds.

    Raises:
        XaipruneError: There is no criterion of that name.
    """
    chosen = list(CRITERIA) if names is None else list(names)
    for name in chosen:
        criterion(name)
    return [name for name in chosen if name != "random"]


def rank(
    bench: Context, name: str, best: Recipe, presets: Sequence[str], criteria: Sequence[str], seeds: int
) -> tuple[list[Method], dict[str, str]]:
    """Scores of every method; all of LRP's share one forward pass of the reference images.

    Args:
        bench: Network, images and units.
        name: What the best goes by.
        best: It comes first.
        presets: By name.
        criteria: By name, without chance.
        seeds: How many random rankings.

    Returns:
        The methods, and for those that this network cannot have the reason.

    Raises:
        XaipruneError: The best composite does not fit the network, or its relevance is not finite.
    """
    reference, task = bench.dataset.reference, bench.dataset.task
    images, labels = bench.reference_images, reference.labels.to(bench.device)
    recipes = {name: best, **{f"LRP {preset}": PRESETS[preset] for preset in presets}}
    relevances = bench.relevances(list(recipes.values()))
    ranked: list[Method] = []
    left_out: dict[str, str] = {}
    for (method, recipe), relevance in zip(recipes.items(), relevances, strict=True):
        try:
            scores = scores_of(relevance, recipe, bench.units, bench.layers)
        except XaipruneError as error:  # not finite: a preset that does not suit the network
            if method == name:
                raise
            left_out[method] = str(error)
            continue
        twin = next((m.name for m in ranked if m.kind == "preset" and _same(m.scores, scores)), None)
        if twin is not None:
            left_out[method] = f"on this network the same as {twin}"
            continue
        kind = "best" if method == name else "preset"
        again = bench.ranker(recipe)
        ranked.append(
            Method(
                method, kind, scores, None, recipe.scope, recipe.compensate, again, order=recipe.order
            )
        )

    def baseline(of: str, seed: int = 0) -> Rank:
        size = bench.config.attribution.batch_size
        return lambda model: criterion(of)(
            model, images, labels, bench.units, task, seed=seed, batch_size=size
        )

    for of in criteria:
        try:
            again = baseline(of)
            ranked.append(Method(of, "criterion", again(bench.model), rerank=again))
        except XaipruneError as error:  # for example: no weight belongs to the units of a layer
            left_out[of] = str(error)
    ranked += [
        Method("random", "random", baseline("random", seed)(bench.model), seed) for seed in range(seeds)
    ]
    return ranked, left_out


def PRESETS[preset: str] -> Recipe:
    """The whole recipe of a preset."""
    recipe = PRESETS[preset]
    return Recipe(recipe.composite, recipe.start, recipe.aggregation)


def signed(recipe: Recipe) -> Recipe:
    """The same recipe with relevance summed with its sign."""
    return replace(recipe, aggregation=replace(recipe.aggregation, mode="signed"))


def _same(one: Scores, other: Scores) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)
