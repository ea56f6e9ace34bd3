"""What a task has from a stored study: nothing has to be typed again. One place knows it, for all tasks.

What is typed goes before what the study says. Needs no torch, so that a wrong name is an error at once.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import optuna
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from xaiprune.cli.common.stored import require_ours, stored_study
from xaiprune.config import (
    AUTO_RECIPE,
    PAPER_RECIPE,
    RECIPE_PRUNE,
    TASKS,
    AttributionConfig,
    CommandLine,
    Config,
    PruneConfig,
    check,
    current_command_line,
    current_names,
    import_modules,
    is_file_name,
    overridden_keys,
    take_recipe,
    use_recipe,
)
from xaiprune.config.tasks import EvaluateConfig
from xaiprune.errors import XaipruneError
from xaiprune.storage.urls import shown
from xaiprune.study import (
    RUNS,
    best_trial,
    check_same,
    images_noted,
    is_ours,
    save_trial,
    session_fingerprint,
    storage_url,
    stored_fingerprint,
    stored_prune,
    study_if_there,
    value_text,
)

if TYPE_CHECKING:
    from xaiprune.data import Dataset, LabelledImages
    from xaiprune.session import PruningSession

log = logging.getLogger(__name__)
_SECTIONS = ("model", "data", "units", "attribution", "prune", "space", "objective")
_OF_SEARCHES = ("sampler", "pruner", "search")  # a search that goes on takes these as well,
_SINGLE = (("study", "n_trials"), ("study", "presets"))  # and these, and the seed
_PATHS = (
    ("model", "checkpoint"),
    ("model", "pruned"),
    *(
        ("data", key)
        for key in ("root", "reference_root", "validation_root", "test_root", "cache_dir", "path")
    ),
    ("prune", "calibration_root"),
)
_RECIPES = ("recipe", "composite", "composite.file", "composite.preset", "prune.plan")
# Keys beside which a search that names a study can only mean one that is there.
_SAY_NOTHING = ("study", "device", "threads", "worker", "output_dir", "hydra", "search")
_NO_IMAGES = "0 images"
AnyConfig = TypeVar("AnyConfig", bound=Config)
AnySection = TypeVar("AnySection", PruneConfig, AttributionConfig)


def settled(config: AnyConfig, task: str, typed: CommandLine) -> AnyConfig:
    """The configuration with what the task has from the study that is named.

    A study that a task is about has to be there. `prune`, `evaluate` and `attribute` take network, images and
    units from the one that ``study.name`` says, and the best trial's recipe unless another one is typed; a
    search goes on with the settings that it was last run with.

    Args:
        config: As composed.
        task: That runs.
        typed: What was typed.

    Raises:
        XaipruneError: There is no such study, it has no finished trial or no note of its set-up, or a noted
            setting cannot be used here.
    """
    kind, keys = TASKS[task].study, overridden_keys(typed.overrides)
    if kind == "reads":
        if task != "studies" and given_file(config) is None:
            with stored_study(config):
                return config
        return config
    if not kind or "study.name" not in keys:
        return config
    if kind == "continues":
        return _continued(config, task, typed)
    has_recipe = any(key in keys for key in _RECIPES)
    if has_recipe and study_if_there(config) is None:
        check(config, task)
        return config  # the name is that of the folder
    with stored_study(config) as study:
        require_ours(study)
        if not study.user_attrs.get(RUNS) and not {"model", "experiment"} & set(keys):
            raise XaipruneError(
                f"study '{study.study_name}' was made before searches noted their settings; type its network "
                "and images as well (model=NAME data.root=FOLDER)"
            )
        found = as_searched(config, study, task, typed)
        of = ""
        if not has_recipe and not (isinstance(config, EvaluateConfig) and not config.faithfulness):
            trial = best_trial(study)
            use_recipe(found, str(_recipe_file(study, trial)), keys)
            of = f"; recipe of trial {trial.number} ({value_text(trial)} on validation)"
        _say(study, found, keys, of)
        return found


def as_searched(
    config: AnyConfig, study: optuna.Study, task: str, typed: CommandLine | None = None
) -> AnyConfig:
    """The configuration with the set-up that the study was last run with, except for what was typed.

    Typing ``experiment=`` is typing a whole set-up. What is typed is compared with the study's later on
    (`require_same`), so that nothing else is measured by accident.

    Args:
        config: As composed.
        study: Whose set-up it is.
        task: That runs.
        typed: What was typed; None: in the running Hydra application.

    Returns:
        A new configuration. That given, but for what it leaves to the recipe, where the study has no note of
        its set-up (made by an older xaiprune) or nothing is typed (from Python).

    Raises:
        XaipruneError: The noted set-up cannot be used here; names the key.
    """
    typed, runs = typed or current_command_line(), study.user_attrs.get(RUNS)
    if typed is None or not runs:
        return _as_decided(config, study) if config.recipe == AUTO_RECIPE else config
    keys = overridden_keys(typed.overrides)
    if "experiment" in keys:
        return config
    noted = runs[-1]
    imports = list(dict.fromkeys([*noted["config"].get("imports", []), *config.imports]))
    import_modules(imports, noted["folder"])
    names = (*_SECTIONS, *_OF_SEARCHES) if task == "search" else _SECTIONS
    sections = {
        name: _section(config, name, noted["config"][name], keys)
        for name in names
        if name in noted["config"] and name not in keys
    }
    found = replace(config, imports=imports, **sections)
    for name, key in _PATHS:
        if name in sections and f"{name}.{key}" not in keys:
            path = getattr(sections[name], key)
            setattr(sections[name], key, None if path is None else _from(noted["folder"], path))
    around = found.space.get("around")
    if "space" in sections and isinstance(around, str) and is_file_name(around):
        found.space["around"] = around if "space.around" in keys else _from(noted["folder"], around)
    if is_file_name(config.recipe):
        use_recipe(found, config.recipe, keys)
    elif "recipe" in keys:
        take_recipe(found, typed.overrides, task)
    else:
        found = _as_decided(found, study)
    check(found, task)
    return found


def _continued(config: AnyConfig, task: str, typed: CommandLine) -> AnyConfig:
    """A search as its study was last run; one that is not there yet is made as it is typed.

    Raises:
        XaipruneError: There is no such study, and nothing is typed that says what a new one would search.
    """
    keys = overridden_keys(typed.overrides)
    study = study_if_there(config)
    if study is None and all(key.partition(".")[0] in _SAY_NOTHING for key in keys):
        raise XaipruneError(
            f"there is no study '{config.study.name}' in {shown(storage_url(config))} to go on with; for a "
            "new one say what to search: model=NAME and data.root=FOLDER, or experiment=NAME"
        )
    if study is None or not is_ours(study) or not study.user_attrs.get(RUNS) or "experiment" in keys:
        check(config, task)
        return config
    found, noted = as_searched(config, study, task, typed), study.user_attrs[RUNS][-1]["config"]
    of = {key: noted["study"].get(key, getattr(found.study, key)) for _, key in _SINGLE}
    own = {key: value for key, value in of.items() if f"study.{key}" not in keys and "study" not in keys}
    found = replace(found, study=replace(found.study, **own))
    if "seed" not in keys:
        found = replace(found, seed=noted.get("seed", found.seed))
    if config.worker is None:
        _say(study, found, keys, f", {found.study.n_trials} trials")
    return found


def _say(study: optuna.Study, config: Config, keys: Sequence[str], more: str) -> None:
    """One line: what is used, and that the study says so."""
    model, data = config.model, config.data
    network = model.pruned or model.path or model.name
    images = data.root or data.path or data.source
    what = f"{network}, {images}, {config.units.kind}, rate {config.prune.rate:g}"
    typed = [key for key in keys if key.partition(".")[0] in (*_SECTIONS, *_OF_SEARCHES)]
    but = f" (typed: {', '.join(dict.fromkeys(typed))})" if typed else ""
    print(f"from study '{study.study_name}': {what}{but}{more}", flush=True)


def _recipe_file(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> Path:
    """The trial's recipe as a file for this process: the study's folder may be somebody else's."""
    folder = Path(tempfile.mkdtemp(prefix="xaiprune-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return save_trial(study, trial, folder / f"trial-{trial.number}.yaml")


def given_file(config: Config) -> str | None:
    """The file of the recipe, or of its rules, that was given in place of a study's; None: there is none."""
    return config.recipe if is_file_name(config.recipe) else config.composite.file


def require_same(study: optuna.Study, config: Config, session: PruningSession) -> None:
    """Refuse a network, images, units or settings other than the study's.

    Objective and space may differ: they decided what was found, and have no effect on how it is used.

    Raises:
        XaipruneError: Names what differs, field by field.
    """
    current = session_fingerprint(config, session)
    fingerprint = stored_fingerprint(study) or {}
    stored = {name: fingerprint[name] for name in current}
    stored["data"] = {key: value for key, value in stored["data"].items() if key != "validation"}
    if stored["data"].get("test", "").startswith(_NO_IMAGES):  # searched without any: all will do
        stored["data"]["test"] = current["data"]["test"]
    check_same(
        stored,
        current,
        study.study_name,
        shown(storage_url(config)),
        "Leave out what was typed, or type the set-up that it was searched with",
    )


def say_what_changed(config: Config, weights: str, dataset: Dataset) -> None:
    """Say in one line if weights or images that a task has from a study are not what it was searched with.

    What was typed may well differ.

    Args:
        config: Of the running task.
        weights: Fingerprint of the network.
        dataset: Its images.
    """
    typed = current_command_line()
    keys = [] if typed is None else overridden_keys(typed.overrides)
    study = study_if_there(config) if "study.name" in keys and "experiment" not in keys else None
    noted = None if study is None else stored_fingerprint(study)
    if study is None or noted is None:
        return
    sections, changed = {key.partition(".")[0] for key in keys}, list[str]()
    if "model" not in sections and noted["model"]["weights"] != weights:
        changed.append("weights")
    for name in () if "data" in sections else ("reference", "test"):
        split: LabelledImages = getattr(dataset, name)
        was = noted["data"].get(name, "")
        if was != images_noted(split) and not was.startswith(_NO_IMAGES):
            changed.append(f"{name} {split.noun}s")
    if changed:
        log.warning(
            "the %s are not those that study '%s' was searched with; what it found may not hold for them",
            " and the ".join(changed),
            study.study_name,
        )


def _as_decided(config: AnyConfig, study: optuna.Study) -> AnyConfig:
    """The configuration with what it leaves to the recipe as the search's recipe had decided it.

    That recipe's file may be gone, and ``auto`` may be another by now; the study knows.
    """
    fingerprint, prune = stored_fingerprint(study) or {}, stored_prune(study)
    kind = fingerprint["units"]["kind"] if config.units.kind == AUTO_RECIPE else config.units.kind
    return replace(
        config,
        recipe=PAPER_RECIPE,  # says nothing any more
        units=replace(config.units, kind=kind),
        prune=_filled(config.prune, {key: prune[key] for key in RECIPE_PRUNE}),
        attribution=_filled(config.attribution, fingerprint.get("attribution", {})),
    )


def _filled(section: AnySection, values: Mapping[str, Any]) -> AnySection:
    """A section with values where it has none."""
    missing = {key: value for key, value in values.items() if getattr(section, key) is None}
    return replace(section, **missing)


def _section(config: Config, name: str, noted: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """One section as noted, with its typed keys replaced."""
    current = getattr(config, name)
    typed = [key.split(".")[1] for key in keys if key.startswith(f"{name}.")]
    if isinstance(current, dict):
        return current if typed else dict(noted)
    known = {field.name for field in fields(current)}
    kept = {key: value for key, value in current_names(name, noted).items() if key in known}
    kept |= {key: value for key, value in asdict(current).items() if key in typed}
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(type(current)), kept))
    except OmegaConfBaseException as error:
        raise XaipruneError(
            f"the study's {name} section cannot be read ({str(error).splitlines()[0]}); type the set-up that "
            "it was searched with"
        ) from error


def _from(folder: str, path: str) -> str:
    """A path that was relative to the folder in which the study was run."""
    whole = Path(folder, Path(path).expanduser())
    return path if Path(folder) == Path.cwd() else os.fspath(whole)
