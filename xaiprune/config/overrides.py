"""What people type after the task: checked key by key before Hydra sees it."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, OverrideType, Quote, QuotedString
from hydra.errors import OverrideParseException

from xaiprune.config.errors import unknown_key
from xaiprune.config.hydra_sources import address_of
from xaiprune.config.keys import adds_keys, is_open, keys_set, valid_keys
from xaiprune.config.options import register_option
from xaiprune.config.renamed import accept_key, accept_names_in_text
from xaiprune.errors import XaipruneError, did_you_mean

_YAML = (".yaml", ".yml")
_SEARCH_PATH = "hydra.searchpath"


def parse(overrides: Sequence[str], config_dir: str | None = None) -> list[Override]:
    """Parse overrides in Hydra's grammar.

    ``composite=FILE.yaml`` is read as ``composite.file=FILE.yaml``, and former names of keys as current ones.

    Args:
        overrides: As typed.
        config_dir: Folder with further YAML files; it is added to Hydra's search path, by an override.

    Raises:
        XaipruneError: Names the override that cannot be read, or the folder that does not exist.
    """
    parsed = [_parse(text) for text in overrides]
    if config_dir is None:
        return parsed
    if not Path(config_dir).expanduser().is_dir():
        raise XaipruneError(f"--config-dir: no such folder: {config_dir}")
    typed = next((o for o in parsed if o.key_or_group == _SEARCH_PATH), None)
    found = [] if typed is None else typed.value()
    places = [*(found if isinstance(found, list) else []), address_of(config_dir)]
    quoted = ",".join(QuotedString(str(place), Quote.single).with_quotes() for place in places)
    return [*(o for o in parsed if o is not typed), _parse(f"{_SEARCH_PATH}=[{quoted}]")]


def _parse(text: str) -> Override:
    try:
        (override,) = OverridesParser.create().parse_overrides([text])
    except OverrideParseException as error:
        key, is_set, value = text.partition("=")
        way = f"quote the value: {shlex.quote(as_override(key, value))}" if is_set else "expected key=value"
        raise XaipruneError(f"cannot read the override '{text}': {way}") from error
    meant = _in_current_names(_as_file(override))
    return override if meant == text else _parse(meant)


def _as_file(override: Override) -> Override:
    """``composite`` is a group, but people have files; a sweep may go over several of them."""
    if override.key_or_group != "composite" or override.type is not OverrideType.CHANGE:
        return override
    if not all(str(value).endswith(_YAML) for value in _values(override)):
        return override
    return _parse(f"composite.file={override.get_value_string()}")


def _in_current_names(override: Override) -> str:
    """The override's text with the current names of keys."""
    key, text = override.key_or_group, str(override.input_line)
    name, is_set, value = text.partition("=")
    name = name.replace(key, accept_key(key), 1)
    holds_keys = any(isinstance(single, dict) for single in _values(override))
    return f"{name}{is_set}{accept_names_in_text(key if holds_keys else '', value)}"


def _values(override: Override) -> list[object]:
    """The value, or all those of a sweep over choices."""
    value = override.value()
    return list(value.list) if isinstance(value, ChoiceSweep) else [value]


def command(task: str, settings: Mapping[str, object]) -> str:
    """A command that can be typed, quoted for the shell and for Hydra.

    Args:
        task: Of the command line.
        settings: Values by key.
    """
    return shlex.join(["xaiprune", task, *(as_override(key, value) for key, value in settings.items())])


def as_override(key: str, value: object) -> str:
    """``key=value`` such that Hydra reads this value, in quotes where it would read another one or none."""
    if not isinstance(value, str):
        return f"{key}={json.dumps(value)}"
    # OmegaConf would look up what stands in ${...}.
    text = re.sub(r"(\\*)\$\{", lambda found: rf"{found[1] * 2}\${{", value)
    with suppress(OverrideParseException):
        (plain,) = OverridesParser.create().parse_overrides([f"{key}={text}"])
        if plain.value() == text:
            return f"{key}={text}"
    return f"{key}={QuotedString(text, Quote.single).with_quotes()}"


def overridden_keys(overrides: Sequence[str]) -> list[str]:
    """The keys and groups that overrides set.

    Raises:
        XaipruneError: Names the override that cannot be read.
    """
    return [key for o in parse(overrides) for key in keys_set(o.key_or_group, o.value())]


def modules_to_import(overrides: Sequence[Override]) -> list[str]:
    """What ``imports=[...]`` names among overrides without sweeps."""
    values = [o.value() for o in overrides if o.key_or_group == "imports"]
    return [str(name) for value in values if isinstance(value, list) for name in value]


def rewrite(overrides: Sequence[Override]) -> list[str]:
    """The overrides as Hydra wants them: keys of an open section may be new or not, with ``+`` or without."""
    plus = {OverrideType.CHANGE: "++", OverrideType.ADD: "+"}
    return [
        f"{plus[o.type]}{o.input_line}"
        if o.type in plus and adds_keys(o.key_or_group, o.value())
        else str(o.input_line)
        for o in overrides
    ]


def expand_sweep(overrides: Sequence[Override]) -> Iterator[list[str]]:
    """Every combination of a sweep (``model=a,b``), one list of plain overrides for each run."""
    choices = [
        [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
        if o.is_sweep_override()
        else [str(o.input_line)]
        for o in overrides
    ]
    yield from map(list, product(*choices))


def check_overrides(task: str, overrides: Sequence[Override], loader: ConfigLoader) -> None:
    """Refuse unknown keys and unknown options of a group, naming the closest valid ones.

    Args:
        task: Whose schema has the keys.
        overrides: Without sweeps.
        loader: Knows the groups and their options.
    """
    groups = [g for g in loader.list_groups("") if g != "hydra"]
    keys = valid_keys(task)
    search_path = [str(o.input_line) for o in overrides if o.key_or_group == _SEARCH_PATH]
    for override in overrides:
        key = override.key_or_group
        if key.split("/")[0].split(".")[0] == "hydra":
            continue  # Hydra checks its own keys
        value = override.value()
        if key in groups and (isinstance(value, str) or value is None or key == "experiment"):
            _check_option(task, key, value, loader, search_path)
        for path in keys_set(key, value):
            if path not in keys and path not in groups and not is_open(path):
                raise unknown_key(path, [*keys, *groups])


def _check_option(
    task: str, group: str, option: object, loader: ConfigLoader, search_path: list[str]
) -> None:
    if option is None:
        return
    options = loader.get_group_options(group, config_name=task, overrides=search_path)
    if option in options or register_option(group, str(option)):
        return
    closest = did_you_mean(str(option), options) or f"; there are {', '.join(options)}"
    if group == "study":  # a group of settings, but people name studies
        closest = f"; a study is named {shlex.quote(as_override('study.name', option))}"
    raise XaipruneError(f"unknown {group} '{option}'{closest}")
