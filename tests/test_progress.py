"""Progress bars: quiet where nobody looks, and where it is quick."""

import io
import sys

import pytest
from rich.console import Console

from xaiprune.progress import progress


def run(terminal, patience, monkeypatch):
    monkeypatch.setattr(sys.modules["xaiprune.progress"], "PATIENCE", patience)
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal)
    assert list(progress(range(5), "counting", console=console)) == [0, 1, 2, 3, 4]
    return written.getvalue()


def test_nothing_is_drawn_without_a_terminal(monkeypatch):
    assert run(False, -1.0, monkeypatch) == ""


def test_nothing_is_drawn_for_what_is_quick(monkeypatch):
    assert run(True, 1e9, monkeypatch) == ""


def test_a_bar_is_drawn_for_what_takes_long(monkeypatch):
    assert "counting" in run(True, -1.0, monkeypatch)


def test_the_bar_goes_away_with_an_exception(monkeypatch):
    written = io.StringIO()
    console = Console(file=written, force_terminal=True)
    monkeypatch.setattr(sys.modules["xaiprune.progress"], "PATIENCE", -1.0)

    def fail():
        yield 1
        yield 2
        raise RuntimeError

    with pytest.raises(RuntimeError):
        list(progress(fail(), "counting", console=console))
    assert written.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # cursor shown, bar erased


def test_of_bars_inside_each_other_the_outermost_is_shown(monkeypatch):
    monkeypatch.setattr(sys.modules["xaiprune.progress"], "PATIENCE", -1.0)
    console = Console(file=io.StringIO(), force_terminal=True)
    for _ in progress(range(3), "outside", console=console):
        assert list(progress(range(3), "inside", console=console)) == [0, 1, 2]
    assert "outside" in console.file.getvalue()
    assert "inside" not in console.file.getvalue()
    assert "counting" in run(True, -1.0, monkeypatch)  # the next one is shown again
