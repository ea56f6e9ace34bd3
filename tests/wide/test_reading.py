"""What is read off the curves, on curves whose figures are known."""

import math

import pandas as pd
import pytest

from benchmarks.wide import page, pictures
from benchmarks.wide.reading import macs_at, read_curves, top1_at


def rows(**curves: dict[float, float]) -> pd.DataFrame:
    found = [{"method": "dense", "left": 1.0, "macs": 1.0, "top1": 0.8}]
    for method, points in curves.items():
        found += [{"method": method, "left": m, "macs": m, "top1": top1} for m, top1 in points.items()]
    frame = pd.DataFrame(found)
    frame = frame.assign(case="resnet18", seed=0, low=frame.top1 - 0.02, high=frame.top1 + 0.02)
    return frame.assign(p=(frame.top1 > 0.7).astype(float).where(frame.method != "dense"))


CURVES = rows(
    searched={0.9: 0.79, 0.7: 0.73, 0.5: 0.5},
    auto={0.9: 0.78, 0.7: 0.72, 0.5: 0.4},
    taylor={0.9: 0.76, 0.7: 0.4, 0.5: 0.1},
    wanda={0.9: 0.5, 0.7: 0.1},
)


def test_between_two_points_curves_are_straight() -> None:
    curve = pd.Series([1.0, 0.9, 0.7]).to_numpy(), pd.Series([0.8, 0.76, 0.4]).to_numpy()
    assert top1_at(curve, 0.8) == pytest.approx(0.58)
    assert top1_at(curve, 1.0) == pytest.approx(0.8)
    assert math.isnan(top1_at(curve, 0.6))  # nothing is guessed beyond what was measured
    assert macs_at(curve, 0.58) == pytest.approx(0.8)
    assert macs_at(curve, 0.78) == pytest.approx(0.95)
    assert macs_at(curve, 0.1) == pytest.approx(0.7)  # its last point: it never falls so low


def test_the_reading_of_a_seed() -> None:
    found = read_curves(CURVES)
    assert (found.dense, found.strongest, found.strongest_saved) == (0.8, "taylor", "taylor")
    assert found.half_macs == pytest.approx(0.7)  # where Taylor has 0.4
    assert found.at_half["searched"] == pytest.approx(0.73)
    assert found.saved["taylor"] == pytest.approx(0.05)  # at 0.78, halfway to its first point
    assert found.saved["auto"] == pytest.approx(0.1)
    assert found.saved["searched"] == pytest.approx(1 - (0.9 - 0.2 / 6))
    # The searched recipe has lost five points at 0.75 on its line from 0.9 to 0.7, in sixths.
    assert found.auto_behind == pytest.approx(0.01)


def test_without_a_search_auto_is_read_alone() -> None:
    found = read_curves(CURVES[CURVES.method != "searched"])
    assert "searched" not in found.at_half
    assert math.isnan(found.auto_behind)


def test_pages_say_what_the_tables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "read", lambda name, folder: CURVES if name == "curves" else pd.DataFrame())
    text = page.rendered(
        "a\n<!-- wide: readings -->\nold\n<!-- end -->\n<!-- wide: references -->\n<!-- end -->"
    )
    assert "old" not in text
    assert "| ResNet-18, inner filters | taylor, 0.70 | +33.0 | +32.0 | 2.67 | 2.00 | 1.0 |" in text
    assert "*Not measured yet.*" in text
    assert page.rendered(text) == text
    curves = page.rendered("<!-- wide: curves-resnet18 -->\n<!-- end -->")
    assert "| **searched** |" in curves
    assert "| taylor |  | 76.0 [74.0, 78.0] (n.s.) |" in curves
    assert "(n.s.)" not in curves.partition("**searched**")[2].partition("\n")[0]  # the first row
    assert "(n.s.)" not in curves.partition("wanda")[2]
    assert curves.index("**auto**") < curves.index("taylor") < curves.index("wanda")
    headline = page.rendered("<!-- wide: headline -->\n<!-- end -->")
    assert "| ResNet-18, inner filters | 80.0 | 0.50 |" in headline


def test_the_picture_shows_ours_taylor_and_the_strongest() -> None:
    assert pictures.shown(CURVES) == ["searched", "auto", "taylor", "wanda"]
