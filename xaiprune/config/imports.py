"""The user's own modules (``imports: [my_module]``), which register what a configuration then names."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from xaiprune.errors import XaipruneError


def import_modules(names: Sequence[str], config_dir: str | None = None) -> None:
    """Import modules, each once in a process.

    Args:
        names: As in an ``import`` statement: ``my_module``, ``package.module``.
        config_dir: Folder of ``--config-dir``.

    Raises:
        XaipruneError: A module is not found, or fails while it is imported.
    """
    with _own_folders_first(config_dir):
        for name in names:
            _import(name)


@contextmanager
def _own_folders_first(config_dir: str | None) -> Iterator[None]:
    """Look for modules in the current folder, in that of ``--config-dir`` and in its parent first."""
    folders = [str(Path.cwd())]
    if config_dir is not None:
        folder = Path(config_dir).expanduser().resolve()
        folders += [str(folder), str(folder.parent)]
    sys.path[:0] = folders
    importlib.invalidate_caches()  # or a file that is newer than Python's list of its folder is not found
    try:
        yield
    finally:
        for place in folders:  # one by one: a module may have added folders of its own
            sys.path.remove(place)


def _import(name: str) -> None:
    if name.endswith(".py"):
        raise XaipruneError(f"imports: {name} must be the name of a module: {name.removesuffix('.py')}")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(name, error) from error
        raise XaipruneError(
            f"imports: no module {name}; put {name.replace('.', '/')}.py into the current folder "
            f"({Path.cwd()}) or install it"
        ) from error
    except Exception as error:  # the user's code can raise anything
        raise _failed(name, error) from error


def _failed(name: str, error: Exception) -> XaipruneError:
    reason = " ".join(str(error).split())
    return XaipruneError(f"imports: {name} cannot be imported: {type(error).__name__}: {reason}")
