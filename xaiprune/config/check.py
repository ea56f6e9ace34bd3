"""Checks of a composed configuration: ranges, choices, and files that must exist."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from xaiprune.config.fields import RULE, Rule, rule_of
from xaiprune.config.options import DIGITS_NETWORKS, HUGGING_FACE, check_model_name, is_language
from xaiprune.config.paths import split_roots
from xaiprune.config.recipe_file import is_file_name
from xaiprune.config.schema import Config, DataConfig
from xaiprune.config.tasks import TASKS
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.registry import SOURCES

Section = TypeVar("Section")

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def check(config: Config, task: str, *, whole: bool = True) -> None:
    """Refuse values that no run of ``task`` could use, before any work starts.

    Args:
        config: Composed.
        task: That runs.
        whole: Network and images are all known; False: a study may still say which they are.

    Raises:
        XaipruneError: Names the key, what it must be, and what it is.
    """
    _check_rules(config)
    if not _DEVICE.fullmatch(config.device):
        raise XaipruneError(f"device must be auto, cpu, cuda, cuda:N or mps, got {config.device}")
    if config.worker is not None and task != "search":
        raise XaipruneError(f"worker={config.worker} belongs to 'xaiprune search'; {task} has no workers")
    _check_image_geometry(config.data)
    if TASKS[task].opens_network:
        if config.model.pruned is None:
            check_model_name(config.model.name)
        _check_files(config)
        if task != "train" and whole:
            _check_digits(config)


def check_data(data: DataConfig) -> None:
    """The same for the ``data`` section alone.

    Raises:
        XaipruneError: As `check`.
    """
    _check_rules(data, "data.")
    _check_image_geometry(data)
    _check_root(data)


def checked_section(schema: type[Section], name: str, settings: Mapping[str, Any]) -> Section:
    """A section of the configuration from keyword arguments.

    Args:
        schema: Its dataclass.
        name: Of the section, for messages.
        settings: Key -> value; keys that are not there have their default.

    Raises:
        XaipruneError: Unknown key, or as `check`.
    """
    keys = [item.name for item in fields(schema)]  # type: ignore[arg-type]
    for key in settings:
        if key not in keys:
            closest = did_you_mean(key, keys) or f"; there are {', '.join(keys)}"
            raise XaipruneError(f"unknown key '{name}.{key}'{closest}")
    section = schema(**settings)
    if isinstance(section, DataConfig):
        check_data(section)
    else:
        _check_rules(section, f"{name}.")
    return section


def _check_rules(node: Any, prefix: str = "") -> None:
    for key, value, rule in _rules(node, prefix):
        if value is not None and not rule.allows(value):
            closest = did_you_mean(str(value), rule.choices)
            raise XaipruneError(f"{key} must be {rule.text}, got {value}{closest}")


def _rules(node: Any, prefix: str = "") -> Iterator[tuple[str, Any, Rule]]:
    for item in fields(node):
        value = getattr(node, item.name)
        if is_dataclass(value):
            yield from _rules(value, f"{prefix}{item.name}.")
        elif RULE in item.metadata:
            yield f"{prefix}{item.name}", value, rule_of(item, value)


def _check_image_geometry(data: DataConfig) -> None:
    if data.resize is not None and data.crop_pct is not None:
        raise XaipruneError("data.resize and data.crop_pct both say how much is cropped; set one of them")
    if data.resize is not None and data.image_size is not None and data.resize < data.image_size:
        raise XaipruneError(
            f"data.resize must be at least data.image_size ({data.image_size}), got {data.resize}"
        )


def _check_text(config: Config) -> None:
    """A text belongs to a language model, and nothing else does."""
    data = config.data
    source = None if data.source == DataConfig.source else SOURCES[data.source]  # as `_check_root`
    if data.path is not None:
        if source is None or not source.needs_path:
            raise XaipruneError(f"data.path has no effect with data={data.source}; set data=text")
        _require("data.path", data.path, folder=False)
    elif source is not None and source.needs_path:
        raise XaipruneError(f"data.path is required with data={data.source}: {source.text}")
    if source is not None and source.of_text and not is_language(config.model):
        raise XaipruneError(
            f"data={data.source} needs a language model: set model=hf model.path=FOLDER (of transformers)"
        )


def _check_root(data: DataConfig) -> None:
    roots = split_roots(data)
    for split, folder in roots.items():
        _require(f"data.{split}_root", folder, folder=True)
    if data.root is not None:
        _require("data.root", data.root, folder=True)
    # The default source needs no settings; others are asked, which imports them, and torch with them.
    elif not roots and data.source != DataConfig.source and SOURCES[data.source].needs_root:
        raise XaipruneError(
            f"data.root is required with data={data.source}: the folder of the images (or "
            "data.reference_root, ...: those of single splits)"
        )


def _check_files(config: Config) -> None:
    _check_root(config.data)
    _check_text(config)
    if config.model.pruned is not None:
        _require("model.pruned", config.model.pruned, folder=True)
    for key, path in (
        ("recipe", config.recipe if is_file_name(config.recipe) else None),
        ("model.checkpoint", config.model.checkpoint),
        ("composite.file", config.composite.file),
        ("prune.plan", config.prune.plan),
    ):
        if path is not None:
            _require(key, path, folder=False)
    prune = config.prune
    if prune.calibration_root is not None:
        _require("prune.calibration_root", prune.calibration_root, folder=True)
    elif prune.calibration_images is not None:
        raise XaipruneError(
            "prune.calibration_images has no effect without prune.calibration_root, the folder "
            "of the pictures"
        )
    if config.model.checkpoint is not None and config.model.pretrained:
        raise XaipruneError("model.checkpoint and model.pretrained=true both name weights; set one of them")
    if config.model.path is not None and config.model.name != HUGGING_FACE and config.model.pruned is None:
        raise XaipruneError("model.path has no effect without model=hf, a language model of transformers")


def _check_digits(config: Config) -> None:
    model = config.model
    own_weights = model.checkpoint is not None or model.pruned is not None
    if model.name in DIGITS_NETWORKS and not own_weights and config.data.source != "digits":
        raise XaipruneError(
            f"model={model.name} is trained on digits, but data.source is {config.data.source}; "
            "set model=NAME, or model.checkpoint=FILE for weights of your own"
        )


def _require(key: str, value: str, *, folder: bool) -> None:
    path = Path(value).expanduser()
    if folder and path.is_file():
        raise XaipruneError(f"{key} is a file, not a folder: {value}")
    if not folder and path.is_dir():
        raise XaipruneError(f"{key} is a folder, not a file: {value}")
    if not path.exists():
        raise XaipruneError(f"{key}: no such {'folder' if folder else 'file'}: {value}")
