"""A study: created or opened, checked to be the same search, presets queued."""

from __future__ import annotations

import logging
from typing import Any

import optuna
from optuna.storages import BaseStorage

from xaiprune.config import Config, command, default_storage
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.storage import (
    absolute_url,
    has_heartbeats,
    open_storage,
    open_to_read,
    plain_errors,
    quiet,
    shown,
    storage_lock,
)
from xaiprune.study.fingerprint import check_same, fingerprint_of, stored_fingerprint
from xaiprune.study.notes import note
from xaiprune.study.presets import queue_presets
from xaiprune.study.racing import pruner_of
from xaiprune.study.sampler import make_pruner
from xaiprune.study.versions import versions
from xaiprune.trial import SearchSetup

log = logging.getLogger(__name__)
SCHEMA = "xaiprune/study/1"


def storage_url(config: Config) -> str:
    """URL of the configuration's study, with an absolute path."""
    return absolute_url(config.study.storage or default_storage(str(config.study.name)))


def open_study(setup: SearchSetup, *, leads: bool = False) -> optuna.Study:
    """Create the study, or open it to go on.

    Args:
        setup: Of the search.
        leads: This process leads workers and runs no trials itself; the first of them notes how it is run.

    Raises:
        XaipruneError: It was made with another set-up, or its storage cannot be used.
    """
    config, url = setup.config, storage_url(setup.config)
    pruner = make_pruner(pruner_of(setup))
    current = fingerprint_of(setup)
    with plain_errors(url), storage_lock(url), quiet():
        storage = open_storage(url)
        if not has_heartbeats(storage) and config.worker is None:  # the leader of workers says it for them
            where = {"study.name": str(config.study.name), "study.storage": shown(url)}
            repair = {"studies.action": "repair", **where, "studies.assume_dead": True}
            log.info(
                "this storage has no heartbeats: trials of workers killed on other machines stay running "
                "until: %s",
                command("studies", repair),
            )
        name = str(config.study.name)
        if config.study.load_only and name not in optuna.get_all_study_names(storage):
            raise _missing(name, storage, url)
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=setup.objective.directions,
            pruner=pruner,
            load_if_exists=True,
        )
        check_schema(study)
        stored = stored_fingerprint(study)
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
            note(study, setup)
        queue_presets(study, setup)
    return study


def load_study(config: Config) -> optuna.Study:
    """Open an existing study to read it, without network or images.

    Raises:
        XaipruneError: There is none by this name; names the closest.
    """
    url, name = storage_url(config), str(config.study.name)
    with plain_errors(url), quiet():
        storage = open_to_read(url)
        if name not in optuna.get_all_study_names(storage):
            raise _missing(name, storage, url)
        return optuna.load_study(study_name=name, storage=storage)


def is_ours(study: optuna.Study) -> bool:
    """Whether this xaiprune can read what is stored with the study's trials."""
    return study.user_attrs.get("schema") == SCHEMA and "fingerprint" in study.user_attrs


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


def _describe(study: optuna.Study, fingerprint: dict[str, Any]) -> None:
    # The fingerprint comes last: a study whose process was killed before it has no trials, and is described
    # again.
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
