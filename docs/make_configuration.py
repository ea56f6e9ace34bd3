"""Writes docs/configuration.md from the schemas' docstrings and the YAML files of conf/.

    python docs/make_configuration.py            # writes the page
    python docs/make_configuration.py --check    # status 1 if the page is out of date

What a key means is said once, in its schema's docstring (`xaiprune.config.schema`, `xaiprune.config.tasks`).
"""

# ruff: noqa: E501 - Markdown has lines of its own
from __future__ import annotations

import re
import sys
from collections import ChainMap
from collections.abc import Iterator
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from omegaconf import MISSING

from xaiprune.cli.__main__ import tasks
from xaiprune.config import RENAMED, Config, conf_dir
from xaiprune.config.fields import RULE
from xaiprune.config.meanings import meanings, summary
from xaiprune.config.tasks import TASKS
from xaiprune.registry import SOURCES, Registry

PAGE = Path(__file__).with_name("configuration.md")

HEAD = """\
# Configuration

<!-- Written by docs/make_configuration.py from the schemas' docstrings; edit those. -->

Every task is configured by `key=value` on the command line, on top of the YAML files of `conf/`. Keys have a type,
a default and often a range, which are checked before anything runs; the error for a typo names the closest key.

```bash
xaiprune search --help
xaiprune search experiment=digits_resnet prune.rate=0.6 --cfg job
```

A **group** is a folder of YAML files: `units=heads` uses `conf/units/heads.yaml`, and `'units.exclude=[...]'`
changes a key of it. Put files of your own into a folder with the same layout and add it with `--config-dir`. For
example an experiment, `own/experiment/mine.yaml`:

<!-- file: own/experiment/mine.yaml -->
```yaml
# @package _global_
defaults:
  - override /model: digits_resnet
  - override /pruner: wilcoxon

prune:
  rate: 0.6

study:
  name: mine
```

runs with

```bash
xaiprune search --config-dir own experiment=mine
```

An empty default means "not set", which is typed as `null`. Lists are typed as `'data.classes=[cat,dog]'` (the quotes
are for the shell), dictionaries as `'model.kwargs={num_classes: 10}'` or key by key: `model.kwargs.num_classes=10`.

`'imports=[my_module]'` loads Python modules of your own before the configuration is checked. The data sources, unit
kinds, rules, criteria and objectives that they register can then be named like those that xaiprune has.
"""

# Group -> what a reader should know beyond its keys; Markdown.
NOTES = {
    "model": "`model=NAME` is any timm name; the networks that are trained on the spot have "
    "files of their own.",
    "space": "Spaces have a format of their own: [spaces.md](spaces.md). Each "
    "number can be overridden: `space.rules.gamma.gamma.high=2`, `'space.start=[logit]'`.",
    "sampler": "`_target_` is any of Optuna's samplers, or a class of your own by its import path; the other keys "
    "are its arguments: `sampler.n_startup_trials=20`.",
    "pruner": "Like `sampler`, with Optuna's pruners. Pruners race trials: [search.md](search.md#make-trials-cheap).",
    "experiment": "An experiment sets several groups at once; its first line is the command for it.",
    "study": "Name, storage and `output_dir` have defaults made of what is searched.",
}
OTHER_GROUPS = ("experiment",)  # groups without a section of their own in the schema

FORMER = """\
## Former names

These keys had another name. It is still accepted, typed and in YAML files; a line in the log names the new one.

| former name | name |
|---|---|
"""

LAUNCHERS = """\
## Hydra's flags and keys

| key | what |
|---|---|
| `--multirun`, `-m` | one run for each combination of `prune.rate=0.3,0.5` and the like |
| `hydra/launcher=joblib` | these runs side by side, as processes; `hydra.launcher.n_jobs=4` says how many |
| `hydra/launcher=submitit_slurm` | these runs as Slurm jobs; `hydra.launcher.partition=NAME`, `.gpus_per_node=1`: [scaling.md](scaling.md) |
| `hydra.sweep.dir` | where Hydra records what a `--multirun` ran (`outputs/multirun/...`) |
| `--cfg job`, `--cfg hydra` | print the configuration instead of running |
| `--config-dir FOLDER` | further YAML files |

Launchers need the `launchers` extra. Hydra does not change the working folder, and writes no files for a single run.

```bash
xaiprune search --multirun model=digits_resnet prune.rate=0.3,0.5
```
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## Groups and keys\n"]
    hints = get_type_hints(Config)
    alone: list[tuple[str, Field[Any], str]] = []
    for item in fields(Config):
        schema = hints[item.name]
        if is_dataclass(schema):
            parts.append(section(item.name, schema))
        elif (conf_dir() / item.name).is_dir():
            parts.append(section(item.name, None))
        else:
            alone.append((item.name, item, described(Config)[item.name]))
    parts += [section(name, None) for name in OTHER_GROUPS]
    parts.append("### Keys without a group\n\n" + table(rows_of(alone, Config)) + "\n")
    parts.append(task_sections())
    parts.append(FORMER + "".join(f"| `{old}` | `{new}` |\n" for old, new in RENAMED.items()))
    parts.append(LAUNCHERS)
    return "\n".join(parts)


def section(name: str, schema: type | None) -> str:
    """One group: what it is, its keys, its files."""
    lines = [f"### {name}\n"]
    if schema is not None:
        lines += [first_paragraph(schema), ""]
    if name in NOTES:
        lines += [NOTES[name], ""]
    if schema is not None:
        meaning = described(schema)
        entries = [(f"{name}.{item.name}", item, meaning.get(item.name, "")) for item in fields(schema)]
        lines += [table(rows_of(entries, schema)), ""]
    if name == "data":
        lines += ["| source | what | needs `data.root` |", "|---|---|---|"]
        for key, source in SOURCES.items():
            lines.append(f"| `{key}` | {source.text} | {'yes' if source.needs_root else 'no'} |")
        lines.append("")
    if options := list(options_of(name)):
        lines += ["| file | what |", "|---|---|", *(f"| `{name}={o}` | {what} |" for o, what in options), ""]
    return "\n".join(lines)


def task_sections() -> str:
    """The settings that only one task has."""
    common = {item.name for item in fields(Config)}
    lines = ["## Settings of single tasks\n"]
    for task in [task for task in TASKS if task in tasks()]:
        entry = TASKS[task]
        hints = get_type_hints(entry.schema)
        for item in [item for item in fields(entry.schema) if item.name not in common]:
            schema = hints[item.name]
            lines += [f"### xaiprune {task}: {item.name}\n"]
            if not is_dataclass(schema):
                meaning = described(entry.schema).get(item.name) or first_paragraph(entry.schema)
                lines += [table(rows_of([(item.name, item, meaning)], entry.schema)), ""]
                continue
            assert isinstance(schema, type)
            meaning_of = described(schema)
            lines += [first_paragraph(schema), ""]
            entries = [(f"{item.name}.{f.name}", f, meaning_of.get(f.name, "")) for f in fields(schema)]
            lines += [table(rows_of(entries, schema)), ""]
    return "\n".join(lines)


def rows_of(entries: list[tuple[str, Field[Any], str]], schema: type) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and meaning of some keys of a schema."""
    hints = get_type_hints(schema)
    for key, item, meaning in entries:
        yield f"`{key}`", type_of(item, hints[item.name]), default_of(item), meaning


def type_of(item: Field[Any], hint: Any) -> str:
    """For people: the choices where there is a closed list, else the type, with its range."""
    rule = item.metadata.get(RULE)
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    plain = (getattr(hint, "__name__", str(hint)) if not hasattr(hint, "__args__") else str(hint)).replace(
        "typing.", ""
    )
    parts = [names.get(part.strip(), part.strip()) for part in plain.split("|") if part.strip() != "None"]
    text = parts[0]
    if found := re.fullmatch(r"list\[(\w+)\]", text):
        text = f"list of {names[found[1]]}s"
    elif text.startswith("dict"):
        text = "section"
    if rule is None:
        return text
    if rule.choices:
        more = ", or a name that you register" if isinstance(rule.choices, Registry | ChainMap) else ""
        return "one of " + ", ".join(f"`{choice}`" for choice in rule.choices) + more
    if text.startswith("list") or text == "Any":
        return rule.text.removeprefix("a ")
    return f"{text}, {rule.text}"


def default_of(item: Field[Any]) -> str:
    """As it would be typed; ``required`` where there is none."""
    value = item.default if item.default is not NO_DEFAULT else item.default_factory()  # type: ignore[misc]
    if value == MISSING:
        return "required"
    if value is None:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def table(rows: Iterator[tuple[str, str, str, str]]) -> str:
    """Markdown."""
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def described(schema: type) -> dict[str, str]:
    """Key -> what it means, as Markdown."""
    return {key: markdown(value) for key, value in meanings(schema).items()}


def first_paragraph(schema: type) -> str:
    """What the docstring says before its ``Attributes:``."""
    return markdown(summary(schema))


def markdown(text: str) -> str:
    """Docstring markup as Markdown's, safe in a table."""
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    return text.replace("|", "\\|")


def options_of(group: str) -> Iterator[tuple[str, str]]:
    """The YAML files of a group, each with its leading comment (or its content, where it is one line)."""
    for path in sorted((conf_dir() / group).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        comment = []
        for line in text.splitlines():
            if not line.startswith("#"):
                break
            if not line.startswith("# @package"):
                comment.append(line.lstrip("# ").strip())
        if comment:
            what = " ".join(comment)
            yield path.stem, f"`{what}`" if what.startswith("xaiprune ") else markdown(what)
            continue
        content = yaml.safe_load(text)
        yield (
            path.stem,
            ", ".join(f"`{key}: {value}`" for key, value in content.items()) if len(content) == 1 else "",
        )


def main(argv: list[str]) -> int:
    """Write the page, or with ``--check`` compare it."""
    text = page()
    if "--check" in argv:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
