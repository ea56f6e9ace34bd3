"""The comparison's table: its figures, and how it is written."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from xaiprune.comparison.table import summary
from xaiprune.report import plain_text, print_comparison
from xaiprune.report.table import footnotes, table_rows

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
    assert rows[0] == ("dense", "95.0 %", "90.0 to 100.0", "", "", "", "")


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
    assert "mean over rates  trapezoid  rate at 95 %" in console.file.getvalue()  # type: ignore[attr-defined]


def test_terminal_gets_a_box() -> None:
    assert "┃" in printed(terminal=True)


def test_says_what_was_left_out_and_when_curves_saw_fewer_images() -> None:
    *_, curves, left_out = footnotes(comparison())
    assert left_out == "left out: LRP odd: not finite"
    assert curves.startswith("curves: 10 rates from 0 to 0.9, all test images; rate at 95 %: ")
    assert ", 100 test images, as many of each class;" in footnotes(comparison(curve_images=100))[-2]


def test_says_how_the_best_and_its_strongest_rivals_disagree() -> None:
    against = {
        "taylor": {"only_first": 9, "only_second": 1},
        "magnitude_l1": {"only_first": 40, "only_second": 0},
    }
    made_up = replace(comparison(), against=against)
    (taylor,) = [row for row in table_rows(summary(made_up)) if row[0] == "taylor"]
    assert taylor[3] == "0.021"
    _, preset, criterion, *_ = footnotes(made_up)
    assert preset.startswith("best preset taylor: 9 images that only best found gets right, 1 that only")
    assert "favours it" in preset
    assert criterion.startswith("best other criterion magnitude_l1: ")
    assert "p <0.001" in criterion


@pytest.mark.parametrize("width", [1, 30])
def test_columns_take_what_they_need(width: int) -> None:
    lines = plain_text("title", [("m" * width, "1", "2", "3", "4", "5", "6")]).splitlines()
    assert len(lines[1]) == len(lines[2])
