"""The curves: a readable PNG, and no side effects."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import matplotlib.image
import pytest

from xaiprune.report import draw_curves, show_comparison
from xaiprune.report.palette import method_styles

from .made_up import comparison


def test_writes_a_picture_of_readme_size(tmp_path: Path) -> None:
    path = draw_curves(comparison(), tmp_path / "new" / "curves.png")
    height, width, _ = matplotlib.image.imread(path).shape
    assert (width, height) == (1320, 750)
    assert [p.name for p in path.parent.iterdir()] == ["curves.png"]


def test_leaves_matplotlib_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    draw_curves(comparison(), tmp_path / "curves.png")
    assert dict(matplotlib.rcParams) == before


def test_a_failure_leaves_the_old_picture(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")
    made_up = comparison()
    without_dense = replace(made_up, frame=made_up.frame[made_up.frame.kind != "dense"])
    with pytest.raises(IndexError):
        draw_curves(without_dense, path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["curves.png"]


def test_a_dozen_methods_keep_their_own_style() -> None:
    names = ["best found", "taylor", "random", *(f"LRP {i}" for i in range(9))]
    styles = method_styles(names)
    assert len({(s.color, s.line) for s in styles.values()}) == len(names)


def test_shows_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = show_comparison(comparison(), tmp_path)
    assert picture == tmp_path / "curves.png"
    assert picture.is_file()
    assert "best found" in capsys.readouterr().out
