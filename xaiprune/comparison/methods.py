"""What is compared: the best, presets, baseline criteria and random, each a ranking of the same units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from xaiprune.attribution import Scores, criterion
from xaiprune.errors import XaipruneError
from xaiprune.pruning import Plan, Rank
from xaiprune.recipe import PRESETS, Recipe, preset
from xaiprune.registry import CRITERIA
from xaiprune.session import PruningSession


@dataclass(frozen=True)
class Method:
    """A ranking, and settings that replace those of the configuration.

    Attributes:
        name: As it is shown.
        kind: ``best``, ``preset``, ``criterion`` or ``random``.
        scores: One number per unit.
        seed: Of a random ranking.
        prune: Keys of the ``prune`` section that the method sets itself.
        rerank: Ranks the pruned network in further rounds; None: the scores hold there, too.
    """

    name: str
    kind: str
    scores: Scores
    seed: int | None = None
    prune: Mapping[str, Any] = field(default_factory=dict)
    rerank: Rank | None = None

    @classmethod
    def of(cls, name: str, kind: str, recipe: Recipe, scores: Scores, rerank: Rank | None = None) -> Method:
        """A recipe as a method.

        Args:
            name: As it is shown.
            kind: As above.
            recipe: Says how the ranking is used.
            scores: The recipe's.
            rerank: Ranks in further rounds.
        """
        return cls(name, kind, scores, prune=recipe.prune, rerank=rerank)

    def under(self, session: PruningSession) -> PruningSession:
        """The session with the method's own settings."""
        return session.with_prune(**self.prune)

    def plan(self, session: PruningSession, rate: float) -> Plan:
        """The units that the method removes at a rate."""
        return self.under(session).plan(self.scores, rate, rerank=self.rerank)


def known_presets(names: Sequence[str] | None) -> list[str]:
    """Presets by name; None: all.

    Raises:
        XaipruneError: There is no preset of that name.
    """
    if names is None:  # the taylor preset is LRP's version of the taylor criterion, which is compared anyway
        return [name for name in PRESETS if name != "taylor"]
    return [preset(name, "compare.presets").name for name in names]


def known_criteria(names: Sequence[str] | None) -> list[str]:
    """Criteria by name; None: all except random, which is compared by seeds.

    Raises:
        XaipruneError: There is no criterion of that name.
    """
    chosen = list(CRITERIA) if names is None else list(names)
    for name in chosen:
        criterion(name)
    return [name for name in chosen if name != "random"]


def rank(
    session: PruningSession,
    name: str,
    best: Recipe,
    presets: Sequence[str],
    criteria: Sequence[str],
    seeds: int,
) -> tuple[list[Method], dict[str, str]]:
    """Scores of every method; all of LRP's share one forward pass of the reference images.

    Args:
        session: Network, images and units.
        name: Of the best recipe's row.
        best: It comes first.
        presets: By name.
        criteria: By name, without random.
        seeds: How many random rankings.

    Returns:
        The methods, and the reason for each that was left out.

    Raises:
        XaipruneError: The best composite does not fit the network, or its relevance is not finite.
    """
    recipes = {name: best, **{f"LRP {of}": PRESETS[of] for of in presets}}
    relevances = session.relevances(list(recipes.values()))
    ranked: list[Method] = []
    left_out: dict[str, str] = {}
    for (method, recipe), relevance in zip(recipes.items(), relevances, strict=True):
        try:
            scores = session.scores(recipe, relevance)
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
        ranked.append(Method.of(method, kind, recipe, scores, session.ranker(recipe)))
    for of in criteria:
        try:
            rerank = _baseline(session, of)
            ranked.append(Method(of, "criterion", rerank(session.model), rerank=rerank))
        except XaipruneError as error:  # for example: no weight belongs to the units of a layer
            left_out[of] = str(error)
    for seed in range(seeds):
        ranked.append(Method("random", "random", _baseline(session, "random", seed)(session.model), seed))
    return ranked, left_out


def _baseline(session: PruningSession, name: str, seed: int = 0) -> Rank:
    """A criterion as a function that ranks the units of a network."""
    labels = session.dataset.reference.labels.to(session.device)
    return lambda model: criterion(name)(
        model,
        session.reference_images,
        labels,
        session.units,
        session.task,
        seed=seed,
        batch_size=session.batch.attribution,
    )


def _same(one: Scores, other: Scores) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)
