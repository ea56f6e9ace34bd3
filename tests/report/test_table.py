"""The comparison's table: its figures, and how it is written."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from scipy.stats import binomtest

from xaiprune.comparison.table import summary
from xaiprune.report import print_comparison
from xaiprune.report.table import comparison_table, footnotes, table_rows

from .made_up import comparison


def printed(*, terminal: bool, width: int = 120) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width)
    print_comparison(comparison(), console)
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
    assert rows[0] == ("dense", "95.0 %", "90.0 to 100", "1.00", "", "", "", "")


def test_plain_text_is_aligned_and_without_frames() -> None:
    text = printed(terminal=False)
    assert text.isascii()
    lines = text.splitlines()
    assert lines[0].startswith("digits_resnet: 50 % of 432 filters removed, 200 test images, chance 10.0 %")
    ends = {line.index(" %") for line in lines[4:11]}
    assert len(ends) == 1


def test_long_lines_are_not_broken_where_output_is_no_terminal() -> None:
    text = printed(terminal=False, width=40)
    assert "magnitude_l1  12.5 %   7.5 to 17.5  0.60     31.6 %  29.6 %  none" in text
    assert "interval  left  p   rates    zoid  95 %" in text


def test_terminal_gets_a_box() -> None:
    assert "━" in printed(terminal=True)


@pytest.mark.parametrize("terminal", [False, True])
def test_fits_80_columns(terminal: bool) -> None:
    longest = (
        *("LRP alpha2beta1_first", "95.0 %", "84.4 to 86.9", "0.84"),
        *("<0.001", "77.4 %", "79.5 %", "100 %"),
    )
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    console.print(comparison_table([longest], longest[0], boxed=terminal))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(cell in text for cell in longest)
    assert "\x1b[" in text if terminal else text.isascii()
    assert max(map(len, re.sub(r"\x1b\[[\d;]*m", "", text).splitlines())) <= 80


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
    assert taylor[4] == "0.021"
    _, preset, criterion, *_ = footnotes(made_up)
    assert preset.startswith("best preset taylor: 9 images that only best found gets right, 1 that only")
    assert "favours it" in preset
    assert criterion.startswith("best other criterion magnitude_l1: ")
    assert "p <0.001" in criterion


def test_says_that_few_images_decide_nothing() -> None:
    few, many = (footnotes(comparison(test_images=count)) for count in (18, 120))
    (line,) = [line for line in few if line.startswith("few test images")]
    assert "with 18, no difference below 33 points can be told from chance" in line
    assert binomtest(6, 6).pvalue < 0.05 < binomtest(5, 5).pvalue
    assert not any(line.startswith("few test images") for line in many)


@pytest.mark.parametrize("width", [1, 30])
def test_columns_take_what_they_need(width: int) -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(comparison_table([("m" * width, "1", "2", "3", "4", "5", "6", "7")]))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 4
    assert len({len(line.rstrip()) for line in lines[2:]}) == 1
