"""Keys that once had another name: people may still type them, and stored data still has them."""

import logging
import re
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

# Former key -> key. Both have the same section.
RENAMED = {
    "prune.floor": "prune.min_units",
    "prune.steps": "prune.rounds",
    "objective.keep": "objective.keep_top1",
    "studies.unseen": "studies.assume_dead",
    "evaluate.patch": "evaluate.faithfulness_patch",
    "evaluate.steps": "evaluate.faithfulness_steps",
    "evaluate.images": "evaluate.faithfulness_images",
}
_FORMER = {new: old for old, new in RENAMED.items()}
_INTERPOLATION = re.compile(rf"(?<=\$\{{)({'|'.join(map(re.escape, RENAMED))})(?=\}})")

_told: set[str] = set()


def current_names(section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as an older xaiprune stored them, under their current names.

    Args:
        section: Of the configuration: ``prune``.
        settings: Name within the section -> value, for example of a study's fingerprint.

    Returns:
        The same values in the same order.
    """
    return _renamed(section, settings, RENAMED)


def former_names(section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of `current_names`: only for hashes that must agree with those of an older xaiprune.

    Args:
        section: As for `current_names`.
        settings: Name within the section -> value.
    """
    return _renamed(section, settings, _FORMER)


def accept_key(key: str) -> str:
    """The current name of a typed key, logged once per key and process if it has changed."""
    if key not in RENAMED:
        return key
    if key not in _told:
        _told.add(key)
        log.warning("%s is now called %s", key, RENAMED[key])
    return RENAMED[key]


def accept_names_in_text(section: str, text: str) -> str:
    """A typed dictionary with the current names of its keys: ``{floor: 2}`` becomes ``{min_units: 2}``.

    Args:
        section: That the dictionary is for; ``""`` replaces interpolations (``${prune.floor}``) only.
        text: One or several dictionaries in Hydra's grammar, or any other value.
    """

    def new_name(match: re.Match[str]) -> str:
        return accept_key(f"{section}.{match[0]}").rpartition(".")[2]

    text = _INTERPOLATION.sub(lambda match: accept_key(match[0]), text)
    return re.sub(r"(?<=[{,\s])\w+(?=\s*:)", new_name, text) if section else text


def accept_names(content: Any, prefix: str = "") -> Any:
    """The content of a user's YAML file with the current names of keys.

    Args:
        content: As read.
        prefix: Where the content belongs: ``"prune."``; empty for a whole configuration.
    """
    if isinstance(content, dict):
        found = {}
        for name, value in content.items():
            key = accept_key(f"{prefix}{name}")
            own = name if key == f"{prefix}{name}" else key.removeprefix(prefix)
            found[own] = accept_names(value, f"{key}.")
        return found
    if isinstance(content, list):
        return [accept_names(item, f"{prefix}.") for item in content]
    return accept_names_in_text("", content) if isinstance(content, str) else content


def _renamed(section: str, settings: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name, value in settings.items():
        key = names.get(f"{section}.{name}")
        found[name if key is None else key.rpartition(".")[2]] = value
    return found
