"""What people type after the task: checked key by key before Hydra sees it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, OverrideType
from hydra.errors import OverrideParseException

from xaiprune.config.errors import unknown_key
from xaiprune.config.keys import is_open, takes_new_keys, typed_keys, valid_keys
from xaiprune.config.model_names import register_model_option
from xaiprune.errors import XaipruneError, did_you_mean

_YAML = (".yaml", ".yml")


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides in Hydra's grammar; ``composite=FILE.yaml`` reads as ``composite.file=FILE.yaml``.

    Raises:
        XaipruneError: Names the override that is none.
    """
    parsed = []
    for text in overrides:
        try:
            parsed += [_spelled_out(o) for o in OverridesParser.create().parse_overrides([text])]
        except OverrideParseException as error:
            raise XaipruneError(f"cannot read the override '{text}': expected key=value") from error
    return parsed


def _spelled_out(override: Override) -> Override:
    """``composite`` is a group, but people have files; a sweep may go over several of them."""
    if override.key_or_group != "composite" or override.type is not OverrideType.CHANGE:
        return override
    value = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    if not all(str(single).endswith(_YAML) for single in values):
        return override
    _, _, given = str(override.input_line).partition("=")
    return replace(override, key_or_group="composite.file", input_line=f"composite.file={given}")


def typed_keys_of(overrides: Sequence[str]) -> list[str]:
    """The keys and groups that overrides set.

    Raises:
        XaipruneError: Names the override that is none.
    """
    return [key for o in parse(overrides) for key in typed_keys(o.key_or_group, o.value())]


def rewrite(overrides: Sequence[Override]) -> list[str]:
    """The overrides as Hydra wants them: keys of an open section are added without a ``+``."""
    return [
        f"++{o.input_line}"
        if o.type is OverrideType.CHANGE and takes_new_keys(o.key_or_group, o.value())
        else str(o.input_line)
        for o in overrides
    ]


def expand_sweep(overrides: Sequence[Override]) -> Iterator[list[str]]:
    """Every combination of a sweep (``model=a,b``), one list of plain overrides for each run."""
    prefix = {OverrideType.ADD: "+", OverrideType.FORCE_ADD: "++"}
    choices = [
        [f"{prefix.get(o.type, '')}{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
        if o.is_sweep_override()
        else [str(o.input_line)]
        for o in overrides
    ]
    yield from map(list, product(*choices))


def check_overrides(
    task: str, overrides: Sequence[Override], loader: ConfigLoader, search_path: list[str]
) -> None:
    """Refuse unknown keys and unknown options of a group, naming the closest valid ones.

    Args:
        task: The task, whose schema says which keys there are.
        overrides: Without sweeps.
        loader: Knows the groups and their options.
        search_path: Override of Hydra's search path, where there is a further folder of YAML files.
    """
    groups = [g for g in loader.list_groups("") if g != "hydra"]
    keys = valid_keys(task)
    for override in overrides:
        key = override.key_or_group
        if key.split("/")[0].split(".")[0] == "hydra":
            continue  # Hydra's own keys are Hydra's to check
        value = override.value()
        if key in groups and (isinstance(value, str) or value is None or key == "experiment"):
            _check_option(task, key, value, loader, search_path)
        for path in typed_keys(key, value):
            if path not in keys and path not in groups and not is_open(path):
                raise unknown_key(path, [*keys, *groups])


def _check_option(
    task: str, group: str, option: object, loader: ConfigLoader, search_path: list[str]
) -> None:
    if option is None:
        return
    options = loader.get_group_options(group, config_name=task, overrides=search_path)
    if option in options:
        return
    if group == "model":
        register_model_option(str(option))
        return
    closest = did_you_mean(str(option), options) or f"; there are {', '.join(options)}"
    if group == "study":  # a group of settings, but people name studies
        closest = f"; a study is named study.name={option}"
    raise XaipruneError(f"unknown {group} '{option}'{closest}")
