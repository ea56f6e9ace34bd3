"""Runs the notebooks and stores their outputs in them, so that they can be read on a page.

    python notebooks/run.py                  # all, some ten minutes on two cores
    python notebooks/run.py 1-first-search   # one

Pictures are reduced to 64 colours. Messages and the numbers of cells are left out.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from PIL import Image

FOLDER = Path(__file__).parent
KEPT = ("image/png", "text/html", "text/plain")
COLORS = 64
LONGEST = 1200  # seconds of one cell


def main() -> int:
    """Run and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", help="their names; none: all")
    names = parser.parse_args().notebooks or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    for name in names:
        path = FOLDER / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as elsewhere:
            run(notebook, elsewhere)
        for cell in notebook.cells:
            store(cell)
        notebook.metadata.pop("widgets", None)
        text = nbformat.writes(notebook).rstrip("\n") + "\n"
        path.write_text(text, encoding="utf-8")
        print(f"{path.name}  {path.stat().st_size / 1000:.0f} kB", flush=True)
    return 0


def run(notebook: nbformat.NotebookNode, folder: str) -> None:
    """Run all cells, with this interpreter, in a folder of its own."""
    manager = AsyncKernelManager(kernel_spec_manager=_ThisPython())
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks are small
    resources = {"metadata": {"path": folder}}
    nbclient.NotebookClient(notebook, km=manager, timeout=LONGEST, resources=resources).execute()


class _ThisPython(KernelSpecManager):
    """The running interpreter as the only kernel, whatever is installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="this Python",
            language="python",
        )


def store(cell: Any) -> None:
    """Leave of a cell what can be read: its text, tables and small pictures."""
    cell.metadata = {}
    if cell.cell_type != "code":
        return
    cell.execution_count = None
    outputs = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            outputs.append(output)
        elif output.output_type in ("display_data", "execute_result"):
            data = {kind: output.data[kind] for kind in KEPT if kind in output.data}
            if "image/png" in data:
                data = {"image/png": smaller(data["image/png"])}
            outputs.append(nbformat.v4.new_output("display_data", data))
    cell.outputs = outputs


def smaller(picture: str) -> str:
    """A PNG (base64) with `COLORS` colours."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    written = io.BytesIO()
    image.quantize(COLORS, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    return base64.b64encode(written.getvalue()).decode()


if __name__ == "__main__":
    sys.exit(main())
