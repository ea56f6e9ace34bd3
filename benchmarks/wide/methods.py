"""What is compared, all with the same compensation where a method has none of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch

from benchmarks.wide.cases import BUILD, Case, session_of
from benchmarks.wide.searches import FOUND, RULES, finished, found
from xaiprune.attribution import Scores
from xaiprune.comparison.methods import Method, NetworkMethod, baseline
from xaiprune.comparison.peers import known_peers, peer_methods
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.recipe import AUTO, PAPER, PRESETS, auto_recipe
from xaiprune.session import PruningSession

CRITERIA = ("taylor", "integrated_gradients")
OURS = (FOUND, AUTO)
# A baseline ranks units by their score, one pass, all layers together, as its papers do.
_PLAIN = {"scope": "global", "relevance_per": "unit", "order": "score", "rounds": 1}


def compensated(case: Case, seed: int) -> PruningSession:
    """The session in which every method is measured: its own settings come on top."""
    return session_of(case, seed).with_prune(
        budget="macs", compensate="linear", sequential=False, bn=case.bn, **_PLAIN
    )


def methods_of(case: Case, seed: int) -> tuple[list[Method | NetworkMethod], dict[str, str]]:
    """The methods of a case and seed, and the reason for each that the network cannot have.

    Ours are the searched recipe and ``auto``. ``paper`` is Pruning by Explaining Revisited as published;
    ``best LRP preset`` is the preset that is best on the validation images, ranked by score and compensated
    like the rest.
    """
    session = compensated(case, seed)
    recipes = {AUTO: auto_recipe(session.model, session.units, session.example), "paper": PAPER}
    if (searched := found(case, seed)) is not None:
        recipes = {FOUND: searched, **recipes}
    if (preset := best_preset(case, seed)) is not None:
        recipes["best LRP preset"] = PRESETS[preset]
    methods: list[Method | NetworkMethod] = []
    relevances = session.relevances(list(recipes.values()))
    for (name, recipe), relevance in zip(recipes.items(), relevances, strict=True):
        scores = session.scores(recipe, relevance)
        method = Method.of(name, "best" if name in OURS else "preset", recipe, scores, session)
        methods.append(replace(method, prune=recipe.prune | {"budget": "macs"}))
    left_out: dict[str, str] = {}
    for name in CRITERIA:
        try:
            methods.append(Method(name, "criterion", _criterion(case, seed, name)))
        except XaipruneError as error:
            left_out[name] = str(error)
    further, without = peer_methods(session, known_peers("all"))
    return [*methods, *further], left_out | without


def _criterion(case: Case, seed: int, name: str) -> Scores:
    """A baseline criterion's scores, kept in a file: integrated gradients take minutes."""
    session = session_of(case, seed)
    file = BUILD / f"{case.name}-s{seed}-{session.dataset.reference.fingerprint()}-{name}.pt"
    if not file.is_file():
        scores = baseline(session, name)(session.model)
        with replacing(file) as path:
            torch.save(dict(scores), path)
    return cast(Scores, torch.load(file, weights_only=True))


def best_preset(case: Case, seed: int) -> str | None:
    """The LRP preset of the papers that is best on the validation images, by the trials of the search.

    Most are stopped in the race, so they are compared on the images that all of them have seen.
    """
    study = finished(case, seed, RULES)
    if study is None:
        return None
    tried = {
        str(trial.user_attrs["preset"]): list(trial.intermediate_values.values())
        for trial in study.get_trials(deepcopy=False)
        if trial.user_attrs.get("preset") in set(PRESETS) - {"taylor"} and trial.intermediate_values
    }
    chunks = min(map(len, tried.values()), default=0)
    return max(tried, key=lambda name: sum(tried[name][:chunks]), default=None)
