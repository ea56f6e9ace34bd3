"""Where the configuration files, the images and the caches are."""

import os
from pathlib import Path

from xaiprune.config.schema import DataConfig
from xaiprune.errors import XaipruneError


def conf_dir() -> Path:
    """The folder of the YAML files: ``conf/`` of a checkout, or ``xaiprune/conf`` of an installed wheel.

    Raises:
        XaipruneError: There is neither.
    """
    package = Path(__file__).resolve().parents[1]
    # A wheel has its own copy, which must be preferred to some other conf/ beside site-packages.
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "search.yaml").is_file():
            return folder
    raise XaipruneError(
        f"no configuration files in {package / 'conf'} or {package.parent / 'conf'}; reinstall xaiprune"
    )


def split_roots(data: DataConfig) -> dict[str, str]:
    """Split -> the folder that it has of its own: ``reference``, ``validation``, ``test``, where set."""
    roots = {"reference": data.reference_root, "validation": data.validation_root, "test": data.test_root}
    return {split: root for split, root in roots.items() if root is not None}


def cache_dir(configured: str | None = None) -> Path:
    """Folder of decoded images and trained digits networks.

    Args:
        configured: ``data.cache_dir``; None: ``$XAIPRUNE_CACHE``, else ``$XDG_CACHE_HOME/xaiprune``, else
            ``~/.cache/xaiprune``.
    """
    if configured:
        return Path(configured).expanduser()
    if own := os.environ.get("XAIPRUNE_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "xaiprune"
