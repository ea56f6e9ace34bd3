"""The examples of docs/extending.md pass the suites that the page says they pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY, blocks

PAGE = REPOSITORY / "docs" / "extending.md"


@pytest.mark.slow
def test_the_examples_pass_their_suites(tmp_path: Path) -> None:
    for block in blocks(PAGE):
        if block.file is not None:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        "test_my_entries.py",
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for suite in ("Rule", "Criterion", "Kind", "Source", "Objective", "Operation"):
        assert f"class Test{suite}(" in (tmp_path / "test_my_entries.py").read_text(encoding="utf-8")
