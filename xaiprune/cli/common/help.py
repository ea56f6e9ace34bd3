"""``xaiprune <task> --help``: the task's own keys with a line each, and the groups that all tasks share."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import yaml

from xaiprune.config import TASKS, Config, conf_dir
from xaiprune.config.meanings import meanings, summary

_WIDTH = 80
# Sections of all tasks that one of them is about; their keys are listed.
_SECTIONS = {"search": ("study", "search", "objective"), "prune": ("prune",), "attribute": ("attribution",)}
# All that tasks take which open a study and not its network.
_OF_READERS = ("study", "imports", "output_dir")
_OTHER_GROUPS = {
    "space": "What is searched: a file of conf/space, and its numbers.",
    "sampler": "Optuna's sampler: a file of conf/sampler, and its arguments.",
    "pruner": "How trials race: a file of conf/pruner, and its arguments.",
}


def help_of(task: str) -> str:
    """What the task does, how it is typed, and its keys."""
    schema = TASKS[task].schema
    about = yaml.safe_load((conf_dir() / f"{task}.yaml").read_text(encoding="utf-8"))["hydra"]["help"]
    name = " [NAME]" if TASKS[task].study in ("reads", "takes") else ""
    lines = [about["header"].strip(), "", f"usage: xaiprune {task}{name} [key=value ...]", ""]
    if name:
        lines += ["  NAME, or study.name=NAME: the study whose network, images and recipe it takes", ""]
    if own := list(_own_keys(task, schema)):
        lines += ["keys of its own:", "", *_table(own), ""]
    lines += ["groups with keys of their own (model.checkpoint=FILE), and keys of all tasks:", ""]
    lines += [*_table(list(_shared(task))), ""]
    lines += [
        f"  xaiprune {task} --cfg job    every key with its value, as it would run",
        "  docs/configuration.md says what each means; --hydra-help lists Hydra's flags",
    ]
    return "\n".join(lines)


def _own_keys(task: str, schema: type[Config]) -> Iterator[tuple[str, str]]:
    common = {item.name for item in fields(Config)}
    for item in fields(schema):
        if item.name in common and item.name not in _SECTIONS.get(task, ()):
            continue
        section = get_type_hints(schema)[item.name]
        if not is_dataclass(section):
            yield item.name, meanings(schema).get(item.name, "")
            continue
        assert isinstance(section, type)
        for key, meaning in meanings(section).items():
            yield f"{item.name}.{key}", meaning


def _shared(task: str) -> Iterator[tuple[str, str]]:
    hints, reads = get_type_hints(Config), not TASKS[task].opens_network
    for item in fields(Config):
        section: Any = hints[item.name]
        if item.name in _SECTIONS.get(task, ()) or (reads and item.name not in _OF_READERS):
            continue
        if is_dataclass(section):
            assert isinstance(section, type)
            yield item.name, summary(section)
        else:
            yield item.name, _OTHER_GROUPS.get(item.name) or meanings(Config)[item.name]


def _table(entries: list[tuple[str, str]]) -> Iterator[str]:
    """Two columns; of a meaning its first sentence, as far as the line goes."""
    width = min(max(len(key) for key, _ in entries), 30)
    for key, meaning in entries:
        first = re.split(r"(?<=[.;])\s", re.sub(r"``|\(None: [^)]*\)", "", meaning), maxsplit=1)[0]
        room = max(_WIDTH - 4 - max(width, len(key)), 20)
        yield f"  {key:<{width}}  {textwrap.shorten(first.rstrip('.;'), room, placeholder=' ...')}"
