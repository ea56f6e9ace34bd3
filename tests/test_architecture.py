"""What a machine can check of docs/architecture.md: directions of imports, small files, types."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "xaiprune"
MODULES = sorted(PACKAGE.rglob("*.py"))
# From top to bottom; a package imports from those further down.
LAYERS = (
    "cli",
    "testing",
    "report",
    "comparison",
    "study",
    "trial",
    "space",
    "session",
    "recipe",
    "storage",
    "evaluation",
    "pruning",
    "attribution",
    "units",
    "models",
    "data",
    "config",
    "registry",
    "embedding",
    "tracing",
    "forward",
    "progress",
    "files",
    "errors",
    "_version",
)
NEVER = {
    "units": {"data", "config", "models"},
    "pruning": {"data"},
    "storage": set(LAYERS) - {"storage", "errors"},
    "tracing": set(LAYERS) - {"tracing", "errors"},
    "forward": set(LAYERS) - {"forward", "errors"},
}
LONGEST = 400


def name_of(module: Path) -> str:
    """``xaiprune.study.loop``; a package goes by its own name."""
    parts = module.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(module) for module in MODULES}


def imported(module: Path) -> set[str]:
    """Modules of the package that a file imports, wherever in the file it does."""
    found = set()
    stub = module.with_suffix(".pyi")  # where a package whose names are loaded lazily lists them
    for node in ast.walk(ast.parse((stub if stub.is_file() else module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            of = str(node.module)
            if stub.is_file():
                of = f"{name_of(module)}.{of}"
            else:
                assert node.level == 0, f"{module}: relative import in line {node.lineno}; write whole names"
            names = [name if (name := f"{of}.{alias.name}") in NAMES else of for alias in node.names]
        else:
            continue
        found |= {name for name in names if name in NAMES}
    return found - {name_of(module)}


def layer_of(name: str) -> str:
    """The layer that a module belongs to; the package itself is above them all."""
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_point_down(module: Path) -> None:
    layer = layer_of(name_of(module))
    if not layer:
        return
    assert layer in LAYERS, f"'{layer}' is no layer of docs/architecture.md"
    # Only the package's own version is asked for from above.
    for other in {layer_of(name) for name in imported(module) if layer_of(name)} - {layer}:
        assert LAYERS.index(other) > LAYERS.index(layer), f"{layer} imports from {other}, which is above it"
        assert other not in NEVER.get(layer, set()), f"{layer} must not know {other}"


def test_no_import_circles() -> None:
    graph = {name_of(module): imported(module) for module in MODULES}
    # A package's __init__ collects its modules; inside the package one imports from the modules themselves.
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def test_the_layers_are_those_in_the_docs() -> None:
    text = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    plan = re.search(r"```\n(cli .*?)```", text, re.DOTALL)
    assert plan is not None
    drawn = [line.split()[0] for line in plan.group(1).splitlines() if re.match(r"\w", line)]
    assert [layer for layer in LAYERS if layer in drawn] == drawn
    assert set(LAYERS) == set(drawn)


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
        body = [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
        imports = [node for node in body if str(node.module).startswith("xaiprune")]
        assert not imports or "__all__" in text or folder.with_suffix(".pyi").is_file(), (
            f"{folder.relative_to(REPOSITORY)} has no __all__"
        )


@pytest.mark.parametrize("task", sorted(p for p in (PACKAGE / "cli").glob("*.py")), ids=lambda p: p.stem)
def test_no_task_imports_another(task: Path) -> None:
    for name in imported(task):
        if name.startswith("xaiprune.cli."):
            assert name.startswith("xaiprune.cli.common"), f"{task.stem} imports {name}"
