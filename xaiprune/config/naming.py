"""Names that follow from a configuration: of a study, and of where it is stored."""

import hashlib
import re
from pathlib import Path

from xaiprune.config.schema import Config

_LONGEST = 120  # characters of a name: a file name may have 255, and suffixes follow


def fill_names(config: Config, task: str, label: str = "") -> None:
    """Set ``study.name``, ``study.storage`` and ``output_dir`` in place, where they were left to default.

    Args:
        config: Complete but for these.
        task: Says where output goes.
        label: What tells this run from the others of a sweep; becomes part of the default name of a study
            that is to be made.
    """
    study = config.study
    if study.name is None:
        study.name = study_name(config, label if task == "search" else "")
    if study.storage is None:
        study.storage = f"sqlite:///studies/{study.name}.db"
    if config.output_dir is None:
        config.output_dir = "outputs" if task == "train" else str(Path("studies") / study.name)


def study_name(config: Config, label: str = "") -> str:
    """``<model>-<data>-<units>-<rate>``, and ``-<label>`` where there is one; safe as a file name."""
    network = Path(config.model.pruned).name if config.model.pruned else config.model.name
    data = Path(config.data.root).expanduser().resolve().name if config.data.root else config.data.source
    parts = [network, data, config.units.kind, f"{config.prune.rate:g}", *([label] if label else [])]
    name = re.sub(r"[^\w.+-]+", "_", "-".join(parts))
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
