"""What the README says can be typed: every command composes, every file it names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from xaiprune.config import compose

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]


def test_readme_has_commands() -> None:
    assert {"make demo", "make test"} <= set(COMMANDS)
    assert sum(command.startswith("xaiprune search") for command in COMMANDS) >= 3


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("xaiprune")])
def test_commands_compose(command: str, tmp_path: Path) -> None:
    """With a real folder and file in the place of the words in capitals."""
    file = tmp_path / "weights.safetensors"
    file.touch()
    _, task, *overrides = shlex.split(command.replace("FOLDER", str(tmp_path)).replace("FILE", str(file)))
    if "--cfg" in overrides:
        overrides = overrides[: overrides.index("--cfg")]
    compose(task, [override for override in overrides if override != "--help"])


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make")])
def test_make_knows_its_targets(command: str) -> None:
    target = command.split()[1]
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


def test_every_command_is_known() -> None:
    assert {command.split()[0] for command in COMMANDS} <= {"make", "xaiprune"}


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_linked_files_are_there(path: str) -> None:
    assert (REPOSITORY / path).is_file()
