"""The curves: a readable PNG, and no side effects."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib
import matplotlib.image
import pandas as pd
import pytest
from matplotlib.figure import Figure

from xaiprune.comparison import known_criteria, known_presets
from xaiprune.registry import PEERS
from xaiprune.report import draw_curves, palette, show_comparison
from xaiprune.report.curves import curve_axes, curve_points
from xaiprune.report.palette import method_styles

from .made_up import comparison

# As `xaiprune.comparison.peers` names its rows.
_PEERS = ("Wanda-sp", "FLAP", "VBP", "CORP", "GRAIL", "ThiNet", "TP GroupTaylor", "TP GroupMagnitude")


def test_writes_a_picture_of_readme_size(tmp_path: Path) -> None:
    path = draw_curves(comparison(), tmp_path / "new" / "curves.png")
    height, width, _ = matplotlib.image.imread(path).shape
    assert (width, height) == (2520, 750)  # over rate, MACs and parameters
    assert [p.name for p in path.parent.iterdir()] == ["curves.png"]


def test_over_the_rate_alone_where_no_costs_were_counted(tmp_path: Path) -> None:
    made_up = comparison()
    before = made_up.frame.assign(params=float("nan"))
    before.loc[before.part == "curve", "macs"] = float("nan")
    path = draw_curves(replace(made_up, frame=before), tmp_path / "curves.png")
    assert matplotlib.image.imread(path).shape[:2] == (750, 1140)
    points = curve_points(made_up)
    assert curve_axes(points) == ["rate", "macs", "params"]
    taylor = points[points.method == "taylor"].set_index("rate")
    assert taylor.macs[0.5] == pytest.approx(0.6)
    random = made_up.frame[(made_up.frame.method == "random") & (made_up.frame.rate == 0.2)]
    averaged = points[(points.method == "random") & (points.rate == 0.2)].top1.item()
    assert averaged == pytest.approx(random.top1.mean())


def test_no_name_lies_on_another_or_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, path: Path) -> None:
        figures.append(figure)
        save(figure, path)

    monkeypatch.setattr(Figure, "savefig", keep)
    made_up = comparison()
    one = made_up.frame[made_up.frame.method == "taylor"]
    names = [*known_presets(None), *known_criteria(None)]
    more = [one.assign(method=f"LRP {name}", kind="preset") for name in names]
    draw_curves(
        replace(made_up, frame=pd.concat([made_up.frame, *more], ignore_index=True)), tmp_path / "a.png"
    )
    (figure,) = figures
    legend = figure.axes[-1].get_legend()
    assert legend is not None
    boxes = [text.get_window_extent() for text in legend.get_texts()]
    assert len(boxes) >= 18
    assert all(above.y0 >= below.y1 - 1 for above, below in pairwise(boxes))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in boxes)


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


def test_a_method_has_its_style_whoever_is_beside_it() -> None:
    ours = [f"LRP {name}" for name in known_presets(None)] + known_criteria(None) + [*_PEERS]
    everyone = method_styles(["best found", *ours, "random", "mine"])
    assert len({(s.color, s.line) for s in everyone.values()}) == len(everyone)
    for name in ours:
        assert method_styles(["mine", name, "best found"])[name] == everyone[name]
    under = method_styles(["taylor (none)", "taylor (linear)"])
    assert under["taylor (none)"] == everyone["taylor"]
    assert under["taylor (linear)"].color == everyone["taylor"].color
    assert under["taylor (linear)"].line != everyone["taylor"].line


def test_every_method_of_ours_has_a_place() -> None:
    assert len(PEERS) == len(_PEERS)
    names = {f"LRP {name}" for name in known_presets(None)} | {*known_criteria(None), *_PEERS} - {"taylor"}
    assert names == set(palette._METHODS)


def test_shows_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = show_comparison(comparison(), tmp_path)
    assert picture == tmp_path / "curves.png"
    assert picture.is_file()
    assert "best found" in capsys.readouterr().out
