"""Names that follow from a configuration: of a study, and of where it is stored."""

import re
from pathlib import Path

from xaiprune.config.schema import Config


def fill_names(config: Config, task: str) -> None:
    """Set ``study.name``, ``study.storage`` and ``output_dir`` in place, where they were left to default."""
    study = config.study
    if study.name is None:
        study.name = study_name(config)
    if study.storage is None:
        study.storage = f"sqlite:///studies/{study.name}.db"
    if config.output_dir is None:
        config.output_dir = "outputs" if task == "train" else str(Path("studies") / study.name)


def study_name(config: Config) -> str:
    """``<model>-<data>-<units>-<rate>``, safe as a file name."""
    network = Path(config.model.pruned).name if config.model.pruned else config.model.name
    data = Path(config.data.root).expanduser().resolve().name if config.data.root else config.data.source
    name = f"{network}-{data}-{config.units.kind}-{config.prune.rate:g}"
    return re.sub(r"[^\w.+-]+", "_", name)
