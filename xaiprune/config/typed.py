"""What was typed on the command line of the running task."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.hydra_config import HydraConfig


@dataclass(frozen=True)
class Typed:
    """A command line.

    Attributes:
        task: The task.
        overrides: As Hydra got them; of a sweep, those of one run.
        config_dir: Folder of ``--config-dir``.
    """

    task: str
    overrides: tuple[str, ...]
    config_dir: str | None = None


def typed_here() -> Typed | None:
    """The command line of the task that runs in this process; None where Python was used instead."""
    if not HydraConfig.initialized():
        return None
    hydra = HydraConfig.get()
    folders = [s.path for s in hydra.runtime.config_sources if s.provider == "command-line"]
    return Typed(hydra.job.name, tuple(hydra.overrides.task), folders[0] if folders else None)
