"""What is noted with a study beside its fingerprint, so that a report needs neither network nor images."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna

from xaiprune.config import CommandLine, Config, as_override, current_command_line, overridden_keys
from xaiprune.storage import shown

if TYPE_CHECKING:
    from xaiprune.attribution.lrp import LayerInfo
    from xaiprune.trial import SearchSetup

RUNS, LAYERS, UNITS = "runs", "layers", "unit_layers"
_MOST_RUNS = 10


@dataclass(frozen=True)
class Network:
    """The network of a study, as noted with it.

    Attributes:
        layers: What rules are given to, in execution order.
        units: Unit layer -> its units, in execution order.
    """

    layers: tuple[LayerInfo, ...]
    units: Mapping[str, int]


def note(study: optuna.Study, setup: SearchSetup) -> None:
    """Note the network's layers, and with which command and settings the study is run now."""
    attrs = study.user_attrs
    if LAYERS not in attrs or UNITS not in attrs:
        study.set_user_attr(LAYERS, [asdict(layer) for layer in setup.session.layers])
        study.set_user_attr(UNITS, {unit.name: unit.units for unit in setup.session.units})
    typed = current_command_line()
    if typed is not None and typed.task != "search":
        return
    noted = list(attrs.get(RUNS, []))
    current = run_note(setup.config, str(setup.session.device), typed)
    if noted and typed is not None:
        current["overrides"] = _with_earlier(noted[-1], current)
    if current not in noted:
        study.set_user_attr(RUNS, [*noted, current][-_MOST_RUNS:])


def _with_earlier(noted: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """What was typed, after what an earlier run was typed with and this one takes from the study.

    Relative paths mean something in one folder only, so that runs in two folders stay apart.
    """
    typed = current["overrides"]
    keys = overridden_keys(typed)
    if "study.name" not in keys or "experiment" in keys or noted["folder"] != current["folder"]:
        return list(typed)
    earlier = [text for text in noted["overrides"] or () if not {*overridden_keys([text])} & {*keys}]
    return [*earlier, *typed]


def run_note(config: Config, device: str, typed: CommandLine | None) -> dict[str, Any]:
    """How a search is run: what was typed (None: from Python), where, and all resulting settings.

    Passwords of a storage are left out, since others may read the study.
    """
    settings = asdict(config)
    storage = None if config.study.storage is None else shown(config.study.storage)
    settings["study"]["storage"] = storage
    return {
        "overrides": None
        if typed is None
        else [_without_password(override, storage) for override in typed.overrides],
        "config_dir": None if typed is None else typed.config_dir,
        "folder": str(Path.cwd()),
        "device": device,
        "config": settings,
    }


def typed_now(config: Config) -> str | None:
    """The command of the running task, without the storage's password; None if it was called from Python."""
    typed = current_command_line()
    if typed is None:
        return None
    run = run_note(config, "", typed)
    return shlex.join(["xaiprune", typed.task, *run["overrides"], *config_dir_of(run)])


def typed_in(run: Mapping[str, Any]) -> str | None:
    """The command of a noted run, to be typed in its folder; None if it was run from Python."""
    if run.get("overrides") is None:
        return None
    return shlex.join(["xaiprune", "search", *run["overrides"], *config_dir_of(run)])


def config_dir_of(run: Mapping[str, Any]) -> list[str]:
    """The flag with which a noted run found further YAML files; empty if it was typed without."""
    return ["--config-dir", run["config_dir"]] if run.get("config_dir") else []


def network_of(study: optuna.Study) -> Network | None:
    """The network as noted with the study; None where an older xaiprune made it."""
    attrs = study.user_attrs
    if LAYERS not in attrs or UNITS not in attrs:
        return None
    from xaiprune.attribution.lrp import LayerInfo

    return Network(tuple(LayerInfo(**layer) for layer in attrs[LAYERS]), dict(attrs[UNITS]))


def _without_password(override: str, storage: str | None) -> str:
    key, _, value = override.partition("=")
    if key.lstrip("+") != "study.storage" or value in ("", "null"):
        return override
    return as_override("study.storage", storage)  # not what was typed, where sweeps escape the colons
