"""Comparisons on disk, and their summary."""

from pathlib import Path

import pandas as pd
import pytest

from xaiprune.errors import XaipruneError
from xaiprune.search.comparison import load, save, summary, trapezoid

from .made_up import RATES, comparison


def test_reads_back_what_it_wrote(tmp_path: Path) -> None:
    made_up = comparison()
    save(made_up, tmp_path, "key")
    found = load(tmp_path, "key")
    assert found is not None
    pd.testing.assert_frame_equal(found.frame, made_up.frame)
    assert (found.network, found.left_out) == (made_up.network, made_up.left_out)
    assert load(tmp_path) is not None


def test_another_key_or_none_there_is_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "key") is None
    save(comparison(), tmp_path, "key")
    assert load(tmp_path, "other") is None


def test_damaged_files_are_named(tmp_path: Path) -> None:
    save(comparison(), tmp_path, "key")
    (tmp_path / "comparison.csv").write_text("method,top1\n")
    with pytest.raises(XaipruneError, match=r"comparison\.csv is damaged .* remove both"):
        load(tmp_path, "key")
    (tmp_path / "comparison.json").write_text("{")
    with pytest.raises(XaipruneError, match=r"comparison\.json"):
        load(tmp_path, "key")


def test_summary_averages_seeds_and_rates() -> None:
    made_up = comparison()
    table = summary(made_up).set_index("method")
    random = made_up.frame[made_up.frame.method == "random"]
    assert table.top1["random"] == pytest.approx(random[random.part == "target"].top1.mean())
    assert table.curve_mean["random"] == pytest.approx(random[random.part == "curve"].top1.mean())
    assert pd.isna(table.curve_mean["dense"])


def test_trapezoid_is_the_mean_height() -> None:
    assert trapezoid(pd.Series(0.7, index=RATES)) == pytest.approx(0.7)
    assert trapezoid(pd.Series([1.0, 0.0], index=[0.0, 0.9])) == pytest.approx(0.5)
    assert pd.isna(trapezoid(pd.Series([1.0], index=[0.0])))
