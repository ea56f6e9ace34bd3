"""``xaiprune prune``: composite or plan -> a smaller network on disk, measured."""

from pathlib import Path

from xaiprune.cli.common.pruning import configured_plan, saved
from xaiprune.config.tasks import PruneTaskConfig
from xaiprune.pruning import check_folder
from xaiprune.session import open_session


def run(config: PruneTaskConfig) -> None:
    """Rank (or read a plan), compensate, remove, measure, save."""
    folder = Path(config.output_dir).expanduser() if config.output_dir else None
    if folder is not None:
        check_folder(folder)  # before the work
    session = open_session(config)
    for line in saved(config, session, configured_plan(config, session), folder, onnx=config.export.onnx):
        print(line)
