"""docs/configuration.md is what the schemas say."""

from __future__ import annotations

from tests.docs.pages import REPOSITORY
from tests.docs.program import program

PAGE = REPOSITORY / "docs" / "configuration.md"


def test_the_page_is_up_to_date() -> None:
    assert program("make_configuration").main(["--check"]) == 0, "run: python docs/make_configuration.py"


def test_every_key_has_a_meaning() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    empty = [row for row in rows if row.count(" | ") == 3 and row.endswith("|  |")]
    assert not empty, "say what they mean, in the docstrings of xaiprune/config"


def test_every_group_of_files_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for path in (REPOSITORY / "conf").glob("*/*.yaml"):
        assert f"`{path.parent.name}={path.stem}`" in text
