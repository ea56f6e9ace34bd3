"""Default names: of a study, its storage and the output folder."""

import hashlib
import re
from pathlib import Path

from xaiprune.config.paths import split_roots
from xaiprune.config.schema import Config
from xaiprune.errors import XaipruneError

_LONGEST = 120  # characters of a name: a file name may have 255, and suffixes follow
_LONGEST_STUDY = 200  # bytes, likewise
# Tasks whose files have the same names in every run. (A search's folder is named after its study, which has
# the label already; other tasks write into the folder of the study that they read.)
FIXED_FILES = ("attribute", "compare", "prune", "train")


def fill_names(config: Config, task: str, label: str = "") -> None:
    """Set ``study.name``, ``study.storage`` and ``output_dir`` in place, unless they are set.

    Args:
        config: Complete apart from these.
        task: Decides where output is written.
        label: What tells this run from the others of a sweep. A search puts it into the study's default name,
            tasks with `FIXED_FILES` into that of the folder.

    Raises:
        XaipruneError: The study's name cannot be that of its file and folder in ``studies``.
    """
    study = config.study
    if study.name is None:
        study.name = study_name(config, label if task == "search" else "")
    if study.storage is None or config.output_dir is None:
        _require_file_name(study.name)
    if study.storage is None:
        study.storage = default_storage(study.name)
    if config.output_dir is None:
        own = _file_name(label) if task in FIXED_FILES else ""
        if task == "train":
            config.output_dir = str(Path("outputs", own))
        else:
            config.output_dir = str(Path("studies", f"{study.name}-{own}" if own else study.name))


def _require_file_name(name: str) -> None:
    if name in ("", ".", "..") or "/" in name or "\0" in name or len(name.encode()) > _LONGEST_STUDY:
        shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
        raise XaipruneError(
            f"study.name='{shown}' cannot name a file and a folder in studies/ (no '/', at most "
            f"{_LONGEST_STUDY} bytes); choose another, or set study.storage and output_dir"
        )


def default_storage(name: str) -> str:
    """The URL of the file of a study's own; ``?`` and ``%`` mean something in URLs."""
    escaped = name.replace("%", "%25").replace("?", "%3F")
    return f"sqlite:///studies/{escaped}.db"


def study_name(config: Config, label: str = "") -> str:
    """``<model>-<data>-<units>-<rate>``, then ``-<label>`` if there is one; safe as a file name."""
    folder = config.model.pruned or config.model.path
    network = Path(folder).name if folder else config.model.name
    root = config.data.root or next(iter(split_roots(config.data).values()), None)
    data = Path(root).expanduser().resolve().name if root else config.data.source
    parts = [network, data, config.units.kind, f"{config.prune.rate:g}", *([label] if label else [])]
    return _file_name("-".join(parts))


def _file_name(text: str) -> str:
    name = re.sub(r"[^\w.+-]+", "_", text)
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
