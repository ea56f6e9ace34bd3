"""What the command line imports before it can answer: no time is measured, heavy modules are counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    *("torch", "torch._dynamo", "torchvision", "timm", "transformers", "sklearn", "scipy", "pandas"),
    *("matplotlib", "plotly", "optuna", "sqlalchemy", "numpy", "hydra"),
)
OPTUNA = {"optuna", "sqlalchemy", "numpy"}  # numpy comes with optuna
PROGRAM = f"""
import sys
from xaiprune.cli.__main__ import main
status = main(sys.argv[1:])
print(status, *(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)
"""


def loaded(folder: Path, *arguments: str) -> tuple[int, set[str], str]:
    """Exit status, heavy modules, and what was printed, of a command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    program = [sys.executable, "-c", PROGRAM, *arguments]
    ran = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    *said, last = ran.stderr.splitlines()
    status, *names = last.split()
    return int(status), set(names), ran.stdout + "\n".join(said)


@pytest.mark.parametrize(
    ("arguments", "status", "allowed"),
    [
        (["--help"], 0, {"hydra"}),
        (["serch"], 2, {"hydra"}),
        (["search", "--help"], 0, {"hydra"}),
        (["export", "--help"], 0, {"hydra"}),
        (["search", "prune.raet=0.3"], 2, {"hydra"}),
        (["search", "model=resnet1888", "prune.rate=0.3"], 2, {"hydra"}),
        (["search", "study.name=nothing", "study.n_trials=60"], 2, {"hydra", *OPTUNA}),
        *(
            ([task, "nothing"], 2, {"hydra", *OPTUNA})
            for task in ("prune", "evaluate", "attribute", "compare", "export", "report", "dashboard")
        ),
        (["studies"], 2, {"hydra", *OPTUNA}),
    ],
)
def test_what_is_said_at_once(arguments, status, allowed, tmp_path):
    found, names, said = loaded(tmp_path, *arguments)
    assert (found, names - allowed) == (status, set()), said


def test_a_study_is_listed_and_exported_without_torch(make_study, tmp_path):
    make_study("one", ("taylor", 0.8, "plan a"), ("epsilon", 0.9, "plan b"))
    for arguments in (["studies"], ["export", "one"], ["export", "one", "export.top=2"]):
        status, names, said = loaded(tmp_path, *arguments)
        assert (status, names - {"hydra", *OPTUNA}) == (0, set()), said
    assert (tmp_path / "studies/one/best.yaml").is_file()
