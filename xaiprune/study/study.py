"""A study: created or opened, checked to be the same search, presets queued."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from xaiprune.comparison.methods import PRESETS, signed
from xaiprune.config import Config
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.recipe import PRESETS
from xaiprune.recipe.configured import recipe_of_file
from xaiprune.recipe.recipe import Recipe
from xaiprune.session.session import Context
from xaiprune.space.around import CENTRE
from xaiprune.space.inverse import NotInSpace, params_of
from xaiprune.storage.connect import has_heartbeats, open_storage, plain_errors, quiet
from xaiprune.storage.lock import storage_lock
from xaiprune.storage.urls import absolute_url, shown
from xaiprune.study.fingerprint import check_same, fingerprint_of
from xaiprune.study.notes import note
from xaiprune.study.sampler import make_pruner, takes_trials_without_parameters
from xaiprune.study.versions import versions

log = logging.getLogger(__name__)
SCHEMA = "xaiprune/study/1"
GIVEN = "given"  # user attribute: a recipe that is tried as it is


@dataclass(frozen=True)
class Counts:
    """Trials of a study by what has become of them.

    Attributes:
        done: Finished with a value (or pruned); what `study.n_trials` counts.
        running: Asked and not finished, here or elsewhere.
        failed: Without a value; the reason is stored with the trial.
    """

    done: int
    running: int
    failed: int


def counts(study: optuna.Study) -> Counts:
    """Count a study's trials."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    return Counts(
        done=states.count(TrialState.COMPLETE) + states.count(TrialState.PRUNED),
        running=states.count(TrialState.RUNNING),
        failed=states.count(TrialState.FAIL),
    )


def storage_url(config: Config) -> str:
    """Where the configuration's study lies, with an absolute path."""
    return absolute_url(config.study.storage or f"sqlite:///studies/{config.study.name}.db")


def open_study(context: Context, *, leads: bool = False) -> optuna.Study:
    """Create the study, or open it to go on.

    Args:
        context: Of the search.
        leads: This process leads workers and runs no trials itself; the first of them notes how it is run.

    Raises:
        XaipruneError: It was made with another set-up, or its storage cannot be used.
    """
    config, url = context.config, storage_url(context.config)
    pruner = make_pruner(config.pruner)
    current = fingerprint_of(context)
    with plain_errors(url), storage_lock(url), quiet():
        storage = open_storage(url)
        if not has_heartbeats(storage) and config.worker is None:  # who leads workers says it for them
            log.info(
                "this storage has no heartbeats: trials of workers killed on other machines stay running "
                "until 'xaiprune studies repair studies.unseen=true'"
            )
        name = str(config.study.name)
        if config.study.load_only and name not in optuna.get_all_study_names(storage):
            raise _missing(name, storage, url)
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=context.objective.directions,
            pruner=pruner,
            load_if_exists=True,
        )
        check_schema(study)
        stored = study.user_attrs.get("fingerprint")
        if stored is None and study.get_trials(deepcopy=False):
            raise XaipruneError(
                f"study '{name}' in {shown(url)} was not made by xaiprune; set study.name=ANOTHER_NAME"
            )
        if stored is None:
            _describe(study, current)
        else:
            check_same(stored, current, name, shown(url))
        _note_versions(study)
        if not leads and not config.worker:
            note(study, context)
        _queue_presets(study, context)
    return study


def load_study(config: Config) -> optuna.Study:
    """Open an existing study to read it, without network or images.

    Raises:
        XaipruneError: There is none by this name; names the closest.
    """
    url, name = storage_url(config), str(config.study.name)
    with plain_errors(url), quiet():
        storage = open_storage(url)
        if name not in optuna.get_all_study_names(storage):
            raise _missing(name, storage, url)
        return optuna.load_study(study_name=name, storage=storage)


def check_schema(study: optuna.Study) -> None:
    """Refuse a study that another version of xaiprune has described.

    Raises:
        XaipruneError: Says which schema it has.
    """
    found = study.user_attrs.get("schema", SCHEMA)
    if found != SCHEMA:
        raise XaipruneError(
            f"study '{study.study_name}' has schema {found}, this xaiprune reads {SCHEMA}; use the "
            "xaiprune that made it, or set study.name=ANOTHER_NAME"
        )


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The finished trial with the highest (first) value, the earliest of equals, that keeps the constraints.

    Raises:
        XaipruneError: No trial has finished, or none keeps the constraints.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        raise XaipruneError(f"study '{study.study_name}' has no finished trial yet; run 'xaiprune search'")
    feasible = [trial for trial in finished if is_feasible(trial)]
    if not feasible:
        names = ", ".join(sorted({name for trial in finished for name in trial.constraints}))
        raise XaipruneError(
            f"none of the {len(finished)} finished trials of study '{study.study_name}' keeps the "
            f"constraints ({names}); run more, or loosen objective.constraints under another study.name"
        )
    return max(feasible, key=lambda trial: (first_value(trial), -trial.number))


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a finished trial keeps all constraints."""
    return all(excess <= 0 for excess in trial.constraints.values())


def first_value(trial: FrozenTrial) -> float:
    """A finished trial's first value: what is maximised."""
    return trial.values[0] if trial.values else 0.0


def value_text(trial: FrozenTrial) -> str:
    """A finished trial's values for people: ``64.0 %``, with a cost ``64.0 % at 0.52``, ``1.234`` logits."""
    first = first_value(trial)
    value = f"{first:.3f}" if "faithfulness" in trial.user_attrs else f"{100 * first:.1f} %"
    return value if len(trial.values) == 1 else f"{value} at {trial.values[1]:.2f}"


def recipe_of(trial: FrozenTrial) -> Recipe:
    """What a finished trial tried, as stored with it.

    Raises:
        XaipruneError: The trial was not made by xaiprune.
    """
    stored = trial.user_attrs.get("proposal")
    if stored is None:
        raise XaipruneError(f"trial {trial.number} has no stored composite; it was not made by xaiprune")
    return Recipe.from_dict(stored, f"trial {trial.number}")


def _describe(study: optuna.Study, fingerprint: dict[str, Any]) -> None:
    # The fingerprint last: a study that was killed in here has no trials, and is described again.
    study.set_user_attr("schema", SCHEMA)
    study.set_user_attr("fingerprint", fingerprint)


def _note_versions(study: optuna.Study) -> None:
    """Remember every combination of versions that the study has been run with."""
    noted, current = list(study.user_attrs.get("versions", [])), versions()
    if current not in noted:
        study.set_user_attr("versions", [*noted, current])


def _missing(name: str, storage: BaseStorage, url: str) -> XaipruneError:
    names = optuna.get_all_study_names(storage)
    closest = did_you_mean(name, names) or (
        f"; there are {', '.join(names[:5])}" if names else "; it is empty"
    )
    return XaipruneError(f"no study '{name}' in {shown(url)}{closest}")


def _queue_presets(study: optuna.Study, context: Context) -> None:
    """Queue what the study has not tried yet: a given composite, the space's centre, Taylor, other presets.

    A preset that is a point of the space is queued by its parameters, so that the sampler learns from it;
    any other as what it is, unless it is a mere variant. Presets that rank the same on this network are tried
    once.
    """
    # One that met an unexpected error (it has a traceback) gets another chance: the error may be mended.
    attrs_of_all = [trial.user_attrs for trial in study.get_trials(deepcopy=False)]
    tried = {attrs.get("preset") for attrs in attrs_of_all if "traceback" not in attrs}
    outside_allowed = takes_trials_without_parameters(context.config.sampler)
    points: list[dict[str, Any]] = []
    for name, recipe, needed in _recipes(context):
        attrs: dict[str, Any] = {"preset": name}
        try:
            params = params_of(context.space, recipe)
        except NotInSpace as reason:
            if name in tried or not needed:
                continue
            if not outside_allowed:
                log.warning("preset %s is not tried: outside the space (%s)", name, reason)
                continue
            log.info("preset %s lies outside the space (%s); it is tried, but not learned from", name, reason)
            if name not in PRESETS:
                attrs[GIVEN] = recipe.to_dict()
            study.enqueue_trial({}, user_attrs={**attrs, "outside_space": True})
            continue
        if params in points:  # differs only in what says nothing on this network
            continue
        points.append(params)
        if name not in tried:
            study.enqueue_trial(params, user_attrs=attrs)


def _recipes(context: Context) -> Iterator[tuple[str, Recipe, bool]]:
    """What is tried first: name, recipe, and whether it is tried even if it is no point of the space.

    Where the joint order may be had, LRP's presets come again with relevance summed with its sign: on a
    transformer they do far better so in that order (docs/results), and samplers seldom get there alone.
    """
    space, configured = context.space, context.config.prune.order
    if (file := context.config.composite.file) is not None:
        yield Path(file).name, recipe_of_file(file, context.config.attribution), True
    if space.centre is not None:
        yield CENTRE, space.centre, True
    taylor = PRESETS["taylor"]
    yield "taylor", taylor, True
    for order in space.order.choices:
        if order != configured:  # a study never ends below Taylor in any order that it may choose
            yield f"taylor, {order}", replace(taylor, order=order), False
    presets = {name: PRESETS[name] for name in PRESETS if name != "taylor"}
    for name, preset in presets.items():
        yield name, preset, True
    if "joint" in (configured, *space.order.choices):
        joint = "joint" if space.order.choices else None
        for name, preset in presets.items():
            yield f"{name}, signed", replace(signed(preset), order=joint), False
