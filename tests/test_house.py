"""The house rules that a machine can check: one direction of imports, small files, typed functions."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "xaiprune"
MODULES = sorted(PACKAGE.rglob("*.py"))
# From the top of the house to its foundation; a room imports from what stands further down.
ROOMS = (
    "cli",
    "report",
    "search",
    "evaluate",
    "prune",
    "attribute",
    "units",
    "models",
    "data",
    "config",
    "files",
    "callable_room",
    "errors",
)
NEVER = {"units": {"data", "config", "models"}}
LONGEST = 400


def room_of(module: Path) -> str:
    """The room a file lies in; the package's own ``__init__`` is the door, above all rooms."""
    part = module.relative_to(PACKAGE).parts[0]
    return "door" if part == "__init__.py" else part.removesuffix(".py")


def imported_rooms(module: Path) -> set[str]:
    """Rooms that a file imports from, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import in line {node.lineno}; write the whole name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, *rest = name.split(".")
            if top == "xaiprune" and rest and not rest[0].startswith("__"):
                found.add(rest[0])
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_go_down(module: Path) -> None:
    room = room_of(module)
    if room == "door":
        return
    assert room in ROOMS, f"'{room}' is no room of docs/architecture.md"
    for other in imported_rooms(module) - {room}:
        assert other in ROOMS, f"imports '{other}', which is no room"
        assert ROOMS.index(other) > ROOMS.index(room), f"{room} imports from {other}, which stands above it"
        assert other not in NEVER.get(room, set()), f"{room} must not know {other}"


def test_the_plan_of_the_house_is_the_one_in_the_docs() -> None:
    plan = re.search(r"```\n(cli .*?)```", (REPOSITORY / "docs/architecture.md").read_text(), re.DOTALL)
    assert plan is not None
    drawn = [line.split()[0] for line in plan.group(1).splitlines() if line.strip()]
    assert [room for room in ROOMS if room in drawn] == drawn


@pytest.mark.parametrize(
    "path",
    [
        p
        for folder in ("xaiprune", "tests", "benchmarks")
        for p in sorted((REPOSITORY / folder).rglob("*.py"))
    ],
    ids=lambda p: str(p.relative_to(REPOSITORY)),
)
def test_files_fit_on_a_few_screens(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_public_functions_are_typed(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            where = f"line {node.lineno}: {node.name}"
            assert node.returns is not None, f"{where} does not say what it returns"
            for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                if argument.arg not in ("self", "cls"):
                    assert argument.annotation is not None, f"{where}: {argument.arg} has no type"


def test_packages_say_what_is_public() -> None:
    for folder in PACKAGE.rglob("__init__.py"):
        text = folder.read_text(encoding="utf-8")
        imports = [n for n in ast.parse(text).body if isinstance(n, ast.ImportFrom)]
        assert not imports or "__all__" in text, f"{folder.relative_to(REPOSITORY)} has no __all__"
