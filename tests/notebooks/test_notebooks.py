"""The notebooks run from top to bottom as they are, and show what is stored in them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
NEEDS = {  # beside what runs any notebook
    "4-smaller-onnx": ("onnxruntime", "onnxscript"),
    "5-language": ("transformers", "tokenizers"),
}
LONGEST = 300  # seconds of one cell, on a busy machine and with a network to be trained first
_PATH_OF_A_MACHINE = re.compile(r"(?<![\w./])/(home|root|Users|tmp|work|mnt|opt|var)/|[A-Z]:\\")


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def code_of(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown_text(output: dict[str, Any]) -> str:
    """What is read of an output, without pictures."""
    data = output.get("data", {})
    texts = [output.get("text", ""), *(text for kind, text in data.items() if kind != "image/png")]
    return "\n".join("".join(text) for text in texts)


def kinds_of(cell: dict[str, Any]) -> list[str]:
    """What a cell shows, one after the other: ``text``, ``picture``, or the headings of a table."""
    kinds: list[str] = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        if output.get("name") == "stderr" or (not data and "text" not in output):
            continue
        html = "".join(data.get("text/html", ""))
        if "image/png" in data:
            kind = "picture"
        elif (head := re.search(r"<thead>(.*?)</thead>", html, re.DOTALL)) is not None:
            kind = "table " + re.sub(r"\d+", "#", " ".join(re.findall(r"<th>(.*?)</th>", head.group(1))))
        else:
            kind = "html" if html else "text"
        if kind != "text" or kinds[-1:] != ["text"]:  # a stream may come in several parts
            kinds.append(kind)
    return kinds


def test_there_are_five() -> None:
    assert [path.name[0] for path in NOTEBOOKS] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_stored_and_nothing_else(path: Path) -> None:
    notebook = read(path)
    assert sum(len(cell.get("outputs", ())) for cell in notebook["cells"]) > 3, "run notebooks/run.py"
    for cell in notebook["cells"]:
        assert not cell["metadata"], f"{cell['id']} keeps metadata"
        for output in cell.get("outputs", ()):
            assert output.get("name", "stdout") == "stdout", f"{cell['id']} keeps messages"
            assert output["output_type"] != "error"
        assert cell.get("execution_count") is None, f"{cell['id']} keeps its number"


def test_all_notebooks_are_small() -> None:
    assert sum(path.stat().st_size for path in NOTEBOOKS) < 1_000_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_path_of_a_machine(path: Path) -> None:
    notebook = read(path)
    shown = [shown_text(output) for cell in notebook["cells"] for output in cell.get("outputs", ())]
    for text in [*code_of(notebook), *shown]:
        assert not (found := _PATH_OF_A_MACHINE.search(text)), text[max(0, found.start() - 60) :][:160]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_public_api_is_enough(path: Path) -> None:
    """``xaiprune`` and ``xaiprune.report``; a notebook that needs more has found a gap in the API."""
    imported = set(re.findall(r"^\s*(?:from|import) (xaiprune[\w.]*)", "\n".join(code_of(read(path))), re.M))
    assert imported <= {"xaiprune", "xaiprune.report"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_cells_are_short(path: Path) -> None:
    for code in code_of(read(path)):
        assert len(code.splitlines()) <= 26


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_links_lead_to_files(path: Path) -> None:
    text = "".join("".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (path.parent / target).is_file(), target


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs the notebooks extra: nbclient")
    nbformat = pytest.importorskip("nbformat", reason="needs the notebooks extra: nbformat")
    pytest.importorskip("ipykernel", reason="needs the notebooks extra: ipykernel")
    for package in NEEDS.get(path.stem, ()):
        pytest.importorskip(package, reason=f"the notebook needs {package}")
    use_this_python_as_kernel(tmp_path, monkeypatch)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # small networks; other tests run beside this one
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=LONGEST,
        kernel_name="this-python",
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()  # an exception in a cell is raised here, with the cell's text
    stored = {cell["id"]: cell for cell in read(path)["cells"]}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            now, then = kinds_of(cell), kinds_of(stored[cell.id])
            assert now == then, f"{cell.id} shows {now}, stored is {then}; run notebooks/run.py {path.stem}"
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "display_data" and "image/png" in output.data
    ]
    assert pictures, "a notebook shows something"
    assert not list(folder.iterdir()), "a notebook writes nothing into its own folder"
    noise = [
        "".join(output.text)
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    # Jupyter's own widgets are the reader's to install, and a GPU need not be there.
    assert not [text for text in noise if not re.search("IProgress not found|No CUDA runtime", text)]


def use_this_python_as_kernel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that is the running interpreter with the package as it lies here, whatever is installed."""
    kernel = folder / "jupyter" / "kernels" / "this-python"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "this Python", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("MPLCONFIGDIR", str(folder / "matplotlib"))
    monkeypatch.syspath_prepend(str(REPOSITORY))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
