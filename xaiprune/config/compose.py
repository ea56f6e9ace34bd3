"""Compose a task's configuration: the command line, the Python API and the tests all use this."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from xaiprune.config import overrides as typed
from xaiprune.config.check import check
from xaiprune.config.command_line import CommandLine, current_command_line
from xaiprune.config.errors import as_one_line
from xaiprune.config.hydra_sources import register_plugins
from xaiprune.config.imports import import_modules
from xaiprune.config.keys import valid_keys
from xaiprune.config.naming import fill_names
from xaiprune.config.paths import conf_dir
from xaiprune.config.recipe_file import take_recipe
from xaiprune.config.schema import Config, DataConfig
from xaiprune.config.searched import set_by_prune
from xaiprune.config.tasks import TASKS
from xaiprune.errors import XaipruneError, did_you_mean


def register_schema(task: str) -> None:
    """Put the task's schema into Hydra's ConfigStore, as ``<task>_schema``, and our plugins into Hydra.

    Only this task's schema: Hydra copies the whole store for every group that it looks at.
    """
    register_plugins()
    store = ConfigStore.instance()
    for other in TASKS:
        store.repo.pop(f"{other}_schema.yaml", None)
    store.store(name=f"{task}_schema", node=TASKS[task].schema, provider="xaiprune")


def compose(
    task: str, overrides: Sequence[str] = (), *, config_dir: str | None = None, label: str = ""
) -> Config:
    """The checked configuration of one run.

    Args:
        task: A task of the command line, for example ``"search"``.
        overrides: As typed on the command line: ``["model=resnet18", "prune.rate=0.3"]``.
        config_dir: Folder with further YAML files (experiments of your own), as Hydra's ``--config-dir``.
        label: What tells this run from the others of a sweep, for its default name.

    Returns:
        The task's schema, filled in.

    Raises:
        XaipruneError: One line that names the key, and the closest valid name if there is one.
    """
    if task not in TASKS:
        raise XaipruneError(f"unknown task '{task}'{did_you_mean(task, TASKS)}")
    parsed = typed.parse(overrides, config_dir)
    for override in parsed:
        if override.is_sweep_override():
            raise XaipruneError(
                f"'{override.input_line}' names several values; add --multirun to sweep over them"
            )
    import_modules(typed.modules_to_import(parsed), config_dir)  # they may register options of groups
    with _hydra(task) as loader:
        try:
            typed.check_overrides(task, parsed, loader)
            composed = hydra_compose(task, typed.rewrite(parsed))
        except (HydraException, OmegaConfBaseException) as error:
            raise as_one_line(error, valid_keys(task)) from error
    return finish(composed, task, label, CommandLine(task, tuple(overrides), config_dir))


def prepare(task: str, overrides: Sequence[str], *, config_dir: str | None = None) -> list[str]:
    """Check what was typed, and return it as Hydra wants it, with ``config_dir`` as an override.

    Raises:
        XaipruneError: As `compose`.
    """
    compose(task, overrides, config_dir=config_dir)
    return typed.rewrite(typed.parse(overrides, config_dir))


def compose_hydra(task: str, overrides: Sequence[str], *, config_dir: str | None = None) -> DictConfig:
    """Hydra's own section (launcher, folders) of a run.

    Raises:
        XaipruneError: As `compose`, and if a launcher is not installed.
    """
    with _hydra(task):
        try:
            rewritten = typed.rewrite(typed.parse(overrides, config_dir))
            composed = hydra_compose(task, rewritten, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise as_one_line(error, valid_keys(task)) from error
    return composed.hydra


def finish(
    composed: DictConfig, task: str, label: str = "", command_line: CommandLine | None = None
) -> Config:
    """Turn what Hydra composed into the task's schema, checked, with the default names filled in.

    Args:
        composed: By Hydra.
        task: Whose schema.
        label: What the default names say beyond model, data, units and rate.
        command_line: What was typed, which a recipe's file does not change; None: that of the running Hydra
            application.

    Raises:
        XaipruneError: As `compose`.
    """
    command_line = command_line or current_command_line() or CommandLine(task, ())
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise as_one_line(error, valid_keys(task)) from error
    if not isinstance(config, TASKS[task].schema):
        raise XaipruneError(f"the defaults list of {task}.yaml must start with {task}_schema")
    import_modules(config.imports, command_line.config_dir)
    keys = typed.overridden_keys(command_line.overrides)
    if TASKS[task].study != "reads":  # else its images are, but for what is typed, those of the study
        _take_pictures(config.data, keys)
    if task == "search" and config.composite.preset and {"composite", "composite.preset"} & set(keys):
        raise XaipruneError(
            f"composite.preset={config.composite.preset} has no effect on a search; study.presets=[NAME] "
            "says which presets are tried first, space=NAME what is searched"
        )
    named = bool(TASKS[task].study) and "study.name" in keys and "model" not in keys
    check(config, task, whole=not named)
    take_recipe(config, command_line.overrides, task)
    if task == "search":
        for name in set_by_prune(config.space, config.prune, keys):
            config.space[name] = None  # as space.NAME=null
    fill_names(config, task, label)
    return config


def _take_pictures(data: DataConfig, keys: Collection[str]) -> None:
    """A folder of pictures that was typed is what is meant, and not the source that needs none."""
    root = next((key for key in keys if key.startswith("data.") and key.endswith("root")), None)
    if root is None or data.source != DataConfig.source:
        return
    if {"data", "data.source"} & set(keys):
        raise XaipruneError(f"data={data.source} has no {root}; leave one of them out")
    data.source = "image_folder"


@contextmanager
def _hydra(task: str) -> Iterator[ConfigLoader]:
    register_schema(task)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()
