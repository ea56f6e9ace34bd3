"""``xaiprune prune``: recipe or plan -> a smaller network on disk, measured."""

from dataclasses import replace
from pathlib import Path

from xaiprune.cli.common.pruning import configured_plan, saved
from xaiprune.cli.common.study_setup import say_what_changed
from xaiprune.config import study_name
from xaiprune.config.tasks import PruneTaskConfig
from xaiprune.pruning import check_folder
from xaiprune.session import apply_and_measure, open_session

FOLDER = "pruned"  # in a folder that may be a study's and hold other things


def run(config: PruneTaskConfig) -> dict[str, str]:
    """Rank (or read a plan), compensate, remove, measure, save; for a sweep's table what came of it."""
    check_folder(output_folder(config, config.units.kind))  # before the work
    session = open_session(config)
    say_what_changed(config, session.network, session.dataset)
    folder = output_folder(config, session.unit_kind)
    check_folder(folder)
    outcome = apply_and_measure(session, *configured_plan(config, session))
    for line in saved(config, session, outcome, folder, onnx=config.export.onnx):
        print(line)
    return outcome.short()


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
