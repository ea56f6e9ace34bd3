"""Modules of units and pruning import one another in one direction, wherever in a file they do."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("units", "pruning")


def modules():
    """Module name -> file."""
    found = {}
    for package in PACKAGES:
        for path in (REPOSITORY / "xaiprune" / package).rglob("*.py"):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path, names):
    """The modules among ``names`` that a file imports, also inside functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(names)
            found |= inner or {node.module}
    return found & set(names)


def test_no_module_imports_itself_by_a_detour():
    files = modules()
    assert len(files) > 25
    graph = {name: imported(path, files) for name, path in files.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(
    "package", ["pruning", "pruning.io", "pruning.removal", "pruning.statistics", "units"]
)
def test_packages_name_what_is_public(package):
    path = modules()[f"xaiprune.{package}"]
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    (public,) = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    assert sorted(public) == sorted(names)
