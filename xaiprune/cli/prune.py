"""``xaiprune prune``: composite or plan -> a smaller network on disk, measured."""

from pathlib import Path

from xaiprune.cli.pruning import Pruning
from xaiprune.config.tasks import PruneTaskConfig
from xaiprune.pruning import check_folder


def run(config: PruneTaskConfig) -> None:
    """Rank (or read a plan), compensate, remove, measure, save."""
    folder = Path(config.output_dir).expanduser() if config.output_dir else None
    if folder is not None:
        check_folder(folder)  # before the work
    pruning = Pruning.of(config)
    for line in pruning.saved(pruning.plan(), folder, onnx=config.export.onnx):
        print(line)
