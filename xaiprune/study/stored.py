"""A stored study: where it is, opened to be read, and whether this xaiprune can. Needs no torch."""

from __future__ import annotations

import optuna
from optuna.storages import BaseStorage

from xaiprune.config import Config, default_storage
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.storage import absolute_url, open_to_read, plain_errors, quiet, shown, storage_file

SCHEMA = "xaiprune/study/1"


def storage_url(config: Config) -> str:
    """URL of the configuration's study, with an absolute path."""
    return absolute_url(config.study.storage or default_storage(str(config.study.name)))


def where_stored(config: Config) -> dict[str, str]:
    """The settings by which other tasks find the configuration's study; passwords are left out."""
    name = str(config.study.name)
    found = {"study.name": name}
    if config.study.storage not in (None, default_storage(name)):
        found["study.storage"] = shown(str(config.study.storage))
    return found


def study_if_there(config: Config) -> optuna.Study | None:
    """The configuration's study, opened to read it; None where there is no such file or study."""
    url, name = storage_url(config), str(config.study.name)
    file = storage_file(url)
    if file is not None and not file.is_file():
        return None
    with plain_errors(url), quiet():
        storage = open_to_read(url)
        there = name in optuna.get_all_study_names(storage)
        return optuna.load_study(study_name=name, storage=storage) if there else None


def load_study(config: Config) -> optuna.Study:
    """Open an existing study to read it, without network or images.

    Raises:
        XaipruneError: There is none by this name; names the closest.
    """
    url, name = storage_url(config), str(config.study.name)
    with plain_errors(url), quiet():
        storage = open_to_read(url)
        if name not in optuna.get_all_study_names(storage):
            raise missing(name, storage, url)
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


def missing(name: str, storage: BaseStorage, url: str) -> XaipruneError:
    """The error for a study that its storage does not have."""
    names = optuna.get_all_study_names(storage)
    closest = did_you_mean(name, names) or (
        f"; there are {', '.join(names[:5])}" if names else "; it is empty"
    )
    return XaipruneError(f"no study '{name}' in {shown(url)}{closest}")
