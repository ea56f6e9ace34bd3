"""The command line of the running task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.hydra_config import HydraConfig

from xaiprune.config.hydra_sources import SCHEME


@dataclass(frozen=True)
class CommandLine:
    """What was typed.

    Attributes:
        task: The task.
        overrides: As Hydra got them; of a sweep, those of one run.
        config_dir: Folder of ``--config-dir``.
    """

    task: str
    overrides: tuple[str, ...]
    config_dir: str | None = None


def current_command_line() -> CommandLine | None:
    """The command line of the task that runs in this process; None if it was called from Python."""
    if not HydraConfig.initialized():
        return None
    hydra = HydraConfig.get()
    folders = [
        source.path
        for source in hydra.runtime.config_sources
        if source.provider == "command-line" or (source.schema == SCHEME and source.provider != "main")
    ]
    return CommandLine(hydra.job.name, tuple(hydra.overrides.task), folders[-1] if folders else None)


def without_config_dir(arguments: Sequence[str]) -> list[str]:
    """Arguments without ``--config-dir FOLDER``, for Hydra: overrides have the folder already.

    Args:
        arguments: Of the command line.
    """
    kept, waiting = [], list(arguments)
    while waiting:
        argument = waiting.pop(0)
        flag, has_value, _ = argument.partition("=")
        if flag not in ("--config-dir", "-cd"):
            kept.append(argument)
        elif not has_value:
            waiting = waiting[1:]
    return kept
