"""``xaiprune prune``: recipe or plan -> a smaller network on disk, measured."""

from dataclasses import replace
from pathlib import Path

from xaiprune.cli.common.pruning import configured_plan, saved
from xaiprune.config import command, current_command_line, overridden_keys, study_name
from xaiprune.config.tasks import PruneTaskConfig
from xaiprune.errors import XaipruneError
from xaiprune.pruning import check_folder
from xaiprune.session import open_session

FOLDER = "pruned"  # in a folder that may be a study's and hold other things


def run(config: PruneTaskConfig) -> None:
    """Rank (or read a plan), compensate, remove, measure, save.

    Raises:
        XaipruneError: A study is named, but none of its recipes; or as `open_session` and `save_pruned`.
    """
    _require_recipe_of_study(config)
    check_folder(output_folder(config, config.units.kind))  # before the work
    session = open_session(config)
    folder = output_folder(config, session.unit_kind)
    check_folder(folder)
    for line in saved(config, session, configured_plan(config, session), folder, onnx=config.export.onnx):
        print(line)


def output_folder(config: PruneTaskConfig, kind: str) -> Path:
    """Where the network goes: ``output_dir``, whose default is named after the units that it has lost.

    Args:
        config: The task's.
        kind: The unit kind that ``units=auto`` turned out to be.
    """
    if config.output_dir in (None, str(Path("studies", study_name(config)))):
        return Path("studies", study_name(replace(config, units=replace(config.units, kind=kind))), FOLDER)
    if config.output_dir == str(Path("studies", str(config.study.name))):
        return Path(config.output_dir, FOLDER)
    return Path(str(config.output_dir)).expanduser()


def _require_recipe_of_study(config: PruneTaskConfig) -> None:
    """Refuse a study's name alone: a study has many recipes, and this task takes one."""
    typed = current_command_line()
    keys = [] if typed is None else overridden_keys(typed.overrides)
    if "study.name" not in keys or {"recipe", "composite", "composite.file", "prune.plan"} & set(keys):
        return
    study = {key: getattr(config.study, key.partition(".")[2]) for key in ("study.name", "study.storage")}
    wanted = {key: value for key, value in study.items() if key in keys}
    raise XaipruneError(
        f"prune takes a recipe, not a study: {command('export', wanted)} writes the study's best, and says "
        "how to use it"
    )
