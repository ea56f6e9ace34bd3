"""What a study tries first: a given recipe, ``auto``, its space's centre, Taylor, and the papers' presets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import Trial

from xaiprune.config import Config, is_file_name
from xaiprune.pruning import JOINT
from xaiprune.recipe import AUTO, PRESETS, RENAMED_PRESETS, Recipe, auto_recipe, preset
from xaiprune.space import CENTRE, NotInSpace, params_of, suggest
from xaiprune.study.sampler import takes_trials_without_parameters
from xaiprune.trial import SearchSetup

log = logging.getLogger(__name__)
GIVEN = "given"  # user attribute: a recipe that is tried as it is
_NAMED = (*PRESETS, AUTO)
OUTSIDE = "outside_space"  # user attribute: whether it is no point of the space


def queue_presets(study: optuna.Study, setup: SearchSetup) -> None:
    """Queue the presets that the study has not tried yet.

    A preset that is a point of the space is queued by its parameters, so that the sampler learns from it;
    any other as a whole recipe, unless it is only a variant of one. Presets that rank the same on this
    network are tried once. ``study.presets`` chooses among them, with their variants; a given composite and
    the centre are always tried.
    """
    # One that met an unexpected error (it has a traceback) is tried again: the error may be fixed by now.
    attrs_of_all = [trial.user_attrs for trial in study.get_trials(deepcopy=False)]
    names = [attrs.get("preset") for attrs in attrs_of_all if "traceback" not in attrs]
    tried = {RENAMED_PRESETS.get(str(name), name) for name in names}
    outside_allowed = takes_trials_without_parameters(setup.config.sampler)
    points: list[dict[str, Any]] = []
    keys: set[str] = set()
    wanted = wanted_presets(setup.config)
    for name, recipe, needed in _first_recipes(setup):
        of = name.partition(",")[0]  # also of "epsilon, signed"
        # ``auto`` may be a preset.
        if recipe.key in keys or (of in _NAMED and of not in wanted):
            continue
        keys.add(recipe.key)
        attrs: dict[str, Any] = {"preset": name}
        try:
            params = params_of(setup.space, recipe)
        except NotInSpace as reason:
            if name in tried or not needed:
                continue
            if not outside_allowed:
                log.warning("preset %s is not tried: outside the space (%s)", name, reason)
                continue
            log.info("preset %s lies outside the space (%s); it is tried, but not learned from", name, reason)
            if name not in PRESETS:
                attrs[GIVEN] = recipe.to_dict()
            study.enqueue_trial({}, user_attrs={**attrs, OUTSIDE: True})
            continue
        if params in points:  # differs only in what has no effect on this network
            continue
        points.append(params)
        if name not in tried:
            study.enqueue_trial(params, user_attrs=attrs)


def wanted_presets(config: Config) -> tuple[str, ...]:
    """Names of the presets that a study tries first (``study.presets``).

    Raises:
        XaipruneError: There is no preset of a name; names the closest.
    """
    names = config.study.presets
    if names is None:
        return _NAMED
    return tuple(name if name == AUTO else preset(name, "study.presets").name for name in names)


def recipe_for(trial: Trial, setup: SearchSetup) -> Recipe:
    """What a trial tries: a queued recipe, or a point of the space."""
    name, attrs = trial.user_attrs.get("preset"), trial.user_attrs
    if attrs.get(OUTSIDE):
        if GIVEN in attrs:
            return Recipe.from_dict(attrs[GIVEN], str(name))
        return preset(str(name))
    recipe = suggest(trial, setup.space)
    return recipe if name is None else recipe.renamed(name)


def _given_file(config: Config) -> str | None:
    """The file of the recipe, or of its rules, that was given; that of ``space.around`` is the centre."""
    if is_file_name(config.recipe) and config.recipe != config.space.get("around"):
        return config.recipe
    return config.composite.file


def _as_tried(setup: SearchSetup, recipe: Recipe) -> Recipe:
    """A whole recipe as a trial that is measured as all others are.

    What the space does not vary is as in the rest of the search, or a recipe with compensation would be the
    best of every search without.
    """
    varied = {key for key in recipe.prune if setup.space[key].choices}
    fixed: dict[str, Any] = dict.fromkeys(key for key in recipe.prune if key not in varied)
    return replace(recipe, **fixed, units=None, rate=recipe.rate if setup.space.rate is not None else None)


def _first_recipes(setup: SearchSetup) -> Iterator[tuple[str, Recipe, bool]]:
    """Name, recipe, and whether it is tried even if it is no point of the space.

    Where the joint order can be chosen, LRP's presets are tried again with relevance summed with its sign: on
    a transformer they do far better so in that order (docs/results), and samplers seldom find that alone.
    """
    space, session = setup.space, setup.session
    configured = session.prune.order
    if (file := _given_file(setup.config)) is not None:
        yield Path(file).name, _as_tried(setup, session.recipe), True
    yield AUTO, _as_tried(setup, auto_recipe(session.model, session.units, session.example)), True
    if space.centre is not None:
        yield CENTRE, space.centre, True
    taylor = PRESETS["taylor"]
    yield "taylor", taylor, True
    for order in space["order"].choices:
        if order != configured:  # a study never ends below Taylor in any order that it may choose
            yield f"taylor, {order}", replace(taylor, order=order), False
    others = {name: recipe for name, recipe in PRESETS.items() if name != "taylor"}
    for name, recipe in others.items():
        yield name, recipe, True
    jointly = [order for order in JOINT if order in (configured, *space["order"].choices)]
    if jointly:
        order = jointly[0] if space["order"].choices else None
        for name, recipe in others.items():
            yield f"{name}, signed", replace(recipe.signed(), order=order), False
