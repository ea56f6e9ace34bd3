"""No module of the attribution package imports, by whatever way, a module that imports it."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import xaiprune.attribution

PACKAGE = Path(xaiprune.attribution.__file__).parent


def name_of(path: Path) -> str:
    """``xaiprune.attribution.lrp.rules``; a package has the name of its ``__init__``."""
    parts = path.relative_to(PACKAGE.parents[1]).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports, wherever in the file it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}; write the whole name"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else str(node.module) for name in inside}
    return names & set(MODULES)


def test_there_is_no_import_circle() -> None:
    graph = {name: imported(path) for name, path in MODULES.items()}
    assert graph["xaiprune.attribution"]
    order = list(TopologicalSorter(graph).static_order())  # CycleError names the circle
    assert len(order) == len(MODULES)
