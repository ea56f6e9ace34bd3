"""Where the configuration files lie, and where caches go."""

import os
from pathlib import Path

from xaiprune.errors import XaipruneError


def conf_dir() -> Path:
    """The folder of the YAML files: ``conf/`` of a checkout, or ``xaiprune/conf`` of an installed wheel.

    Raises:
        XaipruneError: Neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    # A wheel carries its own copy, which must win over a stranger's conf/ beside site-packages.
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "search.yaml").is_file():
            return folder
    raise XaipruneError(
        f"no configuration files in {package / 'conf'} or {package.parent / 'conf'}; reinstall xaiprune"
    )


def cache_dir(configured: str | None = None) -> Path:
    """Folder of decoded images and trained digits networks.

    Args:
        configured: ``data.cache_dir``, which wins over the environment: ``$XAIPRUNE_CACHE``, then
            ``$XDG_CACHE_HOME/xaiprune``, then ``~/.cache/xaiprune``.
    """
    if configured:
        return Path(configured).expanduser()
    if own := os.environ.get("XAIPRUNE_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "xaiprune"
