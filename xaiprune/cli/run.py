"""Run one task as a Hydra application."""

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from types import ModuleType

import hydra
from hydra._internal.utils import get_args_parser  # Hydra has no public reader of its own flags
from omegaconf import DictConfig

from xaiprune.config import Config, conf_dir, finish, prepare, register_schemas


def run_task(task: str, arguments: Sequence[str]) -> None:
    """Check the overrides, then hand over to Hydra (``--help``, ``--cfg job``, ``--multirun``, ...).

    Args:
        task: A task with a module ``xaiprune.cli.<task>`` that has ``run(config)``.
        arguments: Overrides and Hydra's flags.

    Raises:
        XaipruneError: Anything the user can mend, before or during the task.
    """
    register_schemas()
    # Hydra would print a stripped traceback and exit; this makes it hand exceptions on to `main`.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    flags = get_args_parser().parse_args(list(arguments))
    rewritten = list(arguments)
    if not (flags.help or flags.hydra_help or flags.shell_completion or flags.info):
        checked = prepare(task, flags.overrides, multirun=flags.multirun, config_dir=flags.config_dir)
        meant = dict(zip(flags.overrides, checked, strict=True))
        rewritten = [meant.get(argument, argument) for argument in arguments]

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=task)
    def application(composed: DictConfig) -> None:
        register_schemas()  # a launcher's worker is another process
        config = finish(composed, task)
        _set_up(config)
        _module(task).run(config)

    typed = sys.argv
    sys.argv = [f"xaiprune {task}", *rewritten]
    try:
        application()
    finally:
        sys.argv = typed


def _module(task: str) -> ModuleType:
    return importlib.import_module(f"xaiprune.cli.{task}")


def _set_up(config: Config) -> None:
    """Messages to stderr, threads and seeds: what must be so before the first tensor is made."""
    import torch

    log = logging.getLogger("xaiprune")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("xaiprune: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
