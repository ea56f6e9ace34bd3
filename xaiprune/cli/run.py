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

from xaiprune.cli.flags import spelled_out
from xaiprune.config import Config, conf_dir, finish, prepare, register_schema
from xaiprune.errors import XaipruneError


def run_task(task: str, arguments: Sequence[str]) -> None:
    """Check the overrides, then hand over to Hydra (``--help``, ``--cfg job``, ``--multirun``, ...).

    Args:
        task: A task with a module ``xaiprune.cli.<task>`` that has ``run(config)``.
        arguments: Overrides and Hydra's flags.

    Raises:
        XaipruneError: Anything the user can mend, before or during the task.
    """
    register_schema(task)
    arguments = spelled_out(task, arguments)
    # Hydra would print a stripped traceback and exit; this makes it hand exceptions on to `main`.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    flags = get_args_parser().parse_intermixed_args(list(arguments))
    rewritten = list(flags.overrides)
    if not (flags.help or flags.hydra_help or flags.shell_completion or flags.info):
        rewritten = prepare(task, flags.overrides, multirun=flags.multirun, config_dir=flags.config_dir)
    # Overrides first: Hydra, unlike people, cannot read them on both sides of a flag.
    rewritten += [argument for argument in arguments if argument not in flags.overrides]
    process = os.getpid()
    failures: list[XaipruneError] = []

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=task)
    def application(composed: DictConfig) -> None:
        register_schema(task)  # a launcher's worker is another process
        try:
            config = finish(composed, task)
            _set_up(config)
            _module(task).run(config)
        except XaipruneError as error:
            if os.getpid() != process:
                raise
            # Hydra would write a line of its own before handing it on; and a sweep's other runs go on.
            failures.append(error)

    typed = sys.argv
    sys.argv = [f"xaiprune {task}", *rewritten]
    try:
        application()
    finally:
        sys.argv = typed
    for error in failures[1:]:
        print(f"xaiprune: {error}", file=sys.stderr)
    if failures:
        raise failures[0]


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
