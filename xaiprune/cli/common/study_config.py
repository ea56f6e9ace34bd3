"""``--cfg job`` of a task that names a study: the settings that it would run with, not the defaults."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from xaiprune.cli.common.stored import stored_study
from xaiprune.cli.common.study_setup import as_searched, given_file, settled
from xaiprune.config import TASKS, CommandLine, compose
from xaiprune.study import BEST_FILE, RUNS


def config_of_study(task: str, overrides: Sequence[str], config_dir: str | None) -> str:
    """The configuration as YAML, with what the task has from the study that is named.

    Args:
        task: That would run.
        overrides: As typed; one of them is ``study.name``.
        config_dir: Folder of ``--config-dir``.

    Raises:
        XaipruneError: As `settled`.
    """
    typed, said = CommandLine(task, tuple(overrides), config_dir), io.StringIO()
    composed = compose(task, overrides, config_dir=config_dir)
    with redirect_stdout(said):
        config = settled(composed, task, typed)
    if TASKS[task].study == "reads" and task != "studies" and given_file(config) is None:
        with stored_study(config) as study:
            if study.user_attrs.get(RUNS):
                config = as_searched(config, study, task, typed)
    if TASKS[task].study == "takes" and config.recipe != composed.recipe:  # a file that this process keeps
        best = Path(str(config.output_dir), BEST_FILE)
        config = replace(config, recipe=str(best) if best.is_file() else composed.recipe)
    about = "".join(f"# {line}\n" for line in said.getvalue().splitlines())
    return about + OmegaConf.to_yaml(OmegaConf.structured(config))
