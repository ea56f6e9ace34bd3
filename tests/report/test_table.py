"""The comparison's table: its figures, and how it is written."""

import io

import pytest
from rich.console import Console

from xaiprune.report import plain_text, print_comparison
from xaiprune.report.table import footnotes, table_rows
from xaiprune.search.comparison import summary

from .made_up import comparison


def printed(*, terminal: bool, **made_up: int) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    print_comparison(comparison(**made_up), console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_one_row_a_method_dense_first() -> None:
    rows = table_rows(summary(comparison()))
    assert [row[0] for row in rows] == [
        "dense",
        "best found",
        "LRP epsilon",
        "LRP zplus",
        "taylor",
        "magnitude_l1",
        "random",
    ]
    assert rows[0] == ("dense", "95.0 %", "90.0 to 100.0", "", "")


def test_plain_text_is_aligned_and_without_frames() -> None:
    text = printed(terminal=False)
    assert text.isascii()
    lines = text.splitlines()
    assert lines[0].startswith("digits_resnet: 50 % of 432 filters removed, 200 test images, chance 10.0 %")
    ends = {line.index(" %") for line in lines[2:9]}
    assert len(ends) == 1


def test_long_lines_are_not_broken_where_output_is_no_terminal() -> None:
    console = Console(file=io.StringIO(), width=40)
    print_comparison(comparison(), console)
    assert "95 % interval  mean over rates  trapezoid" in console.file.getvalue()  # type: ignore[attr-defined]


def test_terminal_gets_a_box() -> None:
    assert "┃" in printed(terminal=True)


def test_says_what_was_left_out_and_when_curves_saw_fewer_images() -> None:
    assert footnotes(comparison()) == ["left out: LRP odd: not finite"]
    assert footnotes(comparison(curve_images=100))[0].startswith("mean over rates, trapezoid: 100 of")


@pytest.mark.parametrize("width", [1, 30])
def test_columns_take_what_they_need(width: int) -> None:
    lines = plain_text("title", [("m" * width, "1", "2", "3", "4")]).splitlines()
    assert len(lines[1]) == len(lines[2])
