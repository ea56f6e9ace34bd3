"""The set-up of a stored study, for tasks that use its results: nothing has to be typed again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import optuna
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from xaiprune.config import (
    RECIPE_PRUNE,
    AttributionConfig,
    Config,
    PruneConfig,
    check,
    current_command_line,
    current_names,
    import_modules,
    is_file_name,
    overridden_keys,
)
from xaiprune.errors import XaipruneError
from xaiprune.recipe import AUTO, PAPER
from xaiprune.session import PruningSession
from xaiprune.storage.urls import shown
from xaiprune.study import check_same, session_fingerprint, storage_url, stored_fingerprint, stored_prune
from xaiprune.study.notes import RUNS

_SECTIONS = ("model", "data", "units", "attribution", "prune", "space", "objective")
_PATHS = (
    ("model", "checkpoint"),
    ("model", "pruned"),
    *(("data", key) for key in ("root", "reference_root", "validation_root", "test_root", "cache_dir")),
    ("prune", "calibration_root"),
)
AnyConfig = TypeVar("AnyConfig", bound=Config)
AnySection = TypeVar("AnySection", PruneConfig, AttributionConfig)


def as_searched(config: AnyConfig, study: optuna.Study, task: str) -> AnyConfig:
    """The configuration with the set-up that the study was last run with, except for what was typed.

    Typing ``experiment=`` is typing a whole set-up. What is typed is compared with the study's later on
    (`require_same`), so that nothing else is measured by accident.

    Args:
        config: As composed.
        study: Whose set-up it is.
        task: That runs.

    Returns:
        A new configuration. That given, but for what it leaves to the recipe, where the study has no note of
        its set-up (made by an older xaiprune) or nothing is typed (from Python).

    Raises:
        XaipruneError: The noted set-up cannot be used here; names the key.
    """
    typed, runs = current_command_line(), study.user_attrs.get(RUNS)
    if typed is None or not runs:
        return _as_decided(config, study) if config.recipe == AUTO else config
    keys = overridden_keys(typed.overrides)
    if "experiment" in keys:
        return config
    noted = runs[-1]
    imports = list(dict.fromkeys([*noted["config"].get("imports", []), *config.imports]))
    import_modules(imports, noted["folder"])
    sections = {
        name: _section(config, name, noted["config"][name], keys)
        for name in _SECTIONS
        if name in noted["config"] and name not in keys
    }
    found = replace(config, imports=imports, **sections)
    for name, key in _PATHS:
        if name in sections and f"{name}.{key}" not in keys:
            path = getattr(sections[name], key)
            setattr(sections[name], key, None if path is None else _from(noted["folder"], path))
    if "recipe" not in keys:
        found = _as_decided(found, study)
    check(found, task)
    return found


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
    if stored["data"].get("test", "").startswith("0 images"):  # searched without any: all will do
        stored["data"]["test"] = current["data"]["test"]
    check_same(
        stored,
        current,
        study.study_name,
        shown(storage_url(config)),
        "Leave out what was typed, or type the set-up that it was searched with",
    )


def _as_decided(config: AnyConfig, study: optuna.Study) -> AnyConfig:
    """The configuration with what it leaves to the recipe as the search's recipe had decided it.

    That recipe's file may be gone, and ``auto`` may be another by now; the study knows.
    """
    fingerprint, prune = stored_fingerprint(study) or {}, stored_prune(study)
    kind = fingerprint["units"]["kind"] if config.units.kind == AUTO else config.units.kind
    return replace(
        config,
        recipe=PAPER.name,  # says nothing any more
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
