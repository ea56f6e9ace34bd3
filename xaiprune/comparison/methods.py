"""What is compared: the best, presets, baseline criteria and random, each a ranking of the same units.

`xaiprune.comparison.peers` has the published methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

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
        kind: ``best``, ``preset``, ``criterion``, ``peer`` or ``random``.
        scores: One number per unit.
        seed: Of a random ranking.
        prune: Keys of the ``prune`` section that the method sets itself.
        rerank: Ranks the pruned network in further rounds; None: the scores hold there, too.
        scale: Unit layer -> factor that its scores have.
    """

    name: str
    kind: str
    scores: Scores
    seed: int | None = None
    prune: Mapping[str, Any] = field(default_factory=dict)
    rerank: Rank | None = None
    scale: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, kind: str, recipe: Recipe, scores: Scores, session: PruningSession) -> Method:
        """A recipe as a method.

        Args:
            name: As it is shown.
            kind: As above.
            recipe: Says how the ranking is used.
            scores: The recipe's.
            session: Of its network.
        """
        scale, rerank = recipe.factors(session.units, session.layers), session.ranker(recipe)
        return cls(name, kind, scores, prune=recipe.prune, rerank=rerank, scale=scale)

    def under(self, session: PruningSession) -> PruningSession:
        """The session with the method's own settings."""
        return session.with_prune(**self.prune)

    def plan(self, session: PruningSession, rate: float) -> Plan:
        """The units that the method removes at a rate."""
        return self.under(session).plan(self.scores, rate, rerank=self.rerank, scale=self.scale)


@dataclass(frozen=True)
class NetworkMethod:
    """A method that makes a network of its own, not a plan for the session's units.

    Attributes:
        name: As it is shown.
        kind: As of `Method`.
        network: Part of the dense network's MACs that is left -> the network.
        version: What the network depends on beside the session and the part.
        seed: None.
    """

    name: str
    kind: str
    network: Callable[[float], nn.Module]
    version: str
    seed: int | None = None


def under_each(methods: Sequence[Method], compensations: Sequence[str] | None) -> list[Method]:
    """Every method under each compensation, its name saying which: ``taylor (linear)``.

    Args:
        methods: Those that set a compensation themselves, and the best, stay as they are.
        compensations: None: all stay as they are.
    """
    found = []
    for method in methods:
        if compensations is None or "compensate" in method.prune or method.kind == "best":
            found.append(method)
            continue
        for how in compensations:
            prune = {**method.prune, "compensate": how}
            found.append(replace(method, name=f"{method.name} ({how})", prune=prune))
    return found


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
        ranked.append(Method.of(method, kind, recipe, scores, session))
    for of in criteria:
        try:
            rerank = baseline(session, of)
            ranked.append(Method(of, "criterion", rerank(session.model), rerank=rerank))
        except XaipruneError as error:  # for example: no weight belongs to the units of a layer
            left_out[of] = str(error)
    for seed in range(seeds):
        ranked.append(Method("random", "random", baseline(session, "random", seed)(session.model), seed))
    return ranked, left_out


def baseline(session: PruningSession, name: str, seed: int = 0) -> Rank:
    """A criterion as a function that ranks the units of a network by the session's reference images."""
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
