"""Compose a task's configuration: what the command line, the Python API and the tests all go through."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
from xaiprune.config.errors import as_one_line
from xaiprune.config.keys import valid_keys
from xaiprune.config.naming import fill_names
from xaiprune.config.paths import conf_dir
from xaiprune.config.recipe import take_along
from xaiprune.config.schema import Config
from xaiprune.config.tasks import TASKS
from xaiprune.config.typed import typed_here
from xaiprune.errors import XaipruneError, did_you_mean


def register_schema(task: str) -> None:
    """Put the task's schema into Hydra's ConfigStore, as ``<task>_schema``.

    Only this task's: Hydra copies the whole store for every group it looks at.
    """
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
        XaipruneError: One line that names the key, and the closest valid name where one exists.
    """
    if task not in TASKS:
        raise XaipruneError(f"unknown task '{task}'{did_you_mean(task, TASKS)}")
    parsed = typed.parse(overrides)
    for override in parsed:
        if override.is_sweep_override():
            raise XaipruneError(
                f"'{override.input_line}' names several values; add --multirun to sweep over them"
            )
    search_path = _search_path(config_dir)
    with _hydra(task) as loader:
        try:
            typed.check_overrides(task, parsed, loader, search_path)
            composed = hydra_compose(task, [*typed.rewrite(parsed), *search_path])
        except (HydraException, OmegaConfBaseException) as error:
            raise as_one_line(error, valid_keys(task)) from error
    return finish(composed, task, label, overrides)


def prepare(task: str, overrides: Sequence[str], *, config_dir: str | None = None) -> list[str]:
    """Check what was typed, and return it as Hydra wants it.

    Raises:
        XaipruneError: As `compose`.
    """
    compose(task, overrides, config_dir=config_dir)
    return typed.rewrite(typed.parse(overrides))


def compose_hydra(task: str, overrides: Sequence[str], *, config_dir: str | None = None) -> DictConfig:
    """Hydra's own section (launcher, folders) of a run.

    Raises:
        XaipruneError: As `compose`, and where a launcher is not installed.
    """
    with _hydra(task):
        try:
            rewritten = typed.rewrite(typed.parse(overrides))
            composed = hydra_compose(task, [*rewritten, *_search_path(config_dir)], return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise as_one_line(error, valid_keys(task)) from error
    return composed.hydra


def finish(
    composed: DictConfig, task: str, label: str = "", overrides: Sequence[str] | None = None
) -> Config:
    """Turn what Hydra composed into the task's schema, checked, with the default names filled in.

    Args:
        composed: By Hydra.
        task: Whose schema.
        label: What the default names say beyond model, data, units and rate.
        overrides: As typed, which win over what a composite file brings along; None: those of the running
            Hydra application.
    """
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise as_one_line(error, valid_keys(task)) from error
    if not isinstance(config, TASKS[task].schema):
        raise XaipruneError(f"the defaults list of {task}.yaml must start with {task}_schema")
    check(config, task)
    if task != "search":  # which tries many composites, and none is the configuration's
        if overrides is None:
            typed_now = typed_here()
            overrides = () if typed_now is None else typed_now.overrides
        take_along(config, overrides)
    fill_names(config, task, label)
    return config


def _search_path(config_dir: str | None) -> list[str]:
    if config_dir is None:
        return []
    folder = Path(config_dir).expanduser().resolve()
    if not folder.is_dir():
        raise XaipruneError(f"--config-dir: no such folder: {config_dir}")
    return [f"hydra.searchpath=['file://{folder}']"]


@contextmanager
def _hydra(task: str) -> Iterator[ConfigLoader]:
    register_schema(task)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()
