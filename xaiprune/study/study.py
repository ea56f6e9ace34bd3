"""A study: created or opened to go on, checked to be the same search, presets queued."""

from __future__ import annotations

import logging
from typing import Any

import optuna

from xaiprune.config import command
from xaiprune.errors import XaipruneError
from xaiprune.storage import (
    has_heartbeats,
    open_storage,
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
from xaiprune.study.software import versions
from xaiprune.study.stored import SCHEMA, check_schema, missing, storage_url
from xaiprune.trial import SearchSetup

log = logging.getLogger(__name__)


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
            raise missing(name, storage, url)
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
