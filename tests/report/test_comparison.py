"""Comparisons on disk, and their summary."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from xaiprune.comparison.table import highest_rate, load, rivals, save, summary
from xaiprune.errors import XaipruneError

from .made_up import comparison


def test_reads_back_what_it_wrote(tmp_path: Path) -> None:
    made_up = replace(comparison(), against={"taylor": {"only_first": 9, "only_second": 1}})
    save(made_up, tmp_path, "key")
    found = load(tmp_path, "key")
    assert found is not None
    pd.testing.assert_frame_equal(found.frame, made_up.frame)
    assert (found.network, found.left_out) == (made_up.network, made_up.left_out)
    assert found.against == made_up.against
    assert load(tmp_path) is not None
    table = pd.read_csv(tmp_path / "summary.csv")
    assert table.p[table.method == "taylor"].item() == pytest.approx(22 / 1024)


@pytest.mark.parametrize("lacks", [["params"], ["macs", "params"]])
def test_a_comparison_from_before_costs_were_counted_is_read(tmp_path: Path, lacks: list[str]) -> None:
    made_up = comparison()
    made_up.frame["perplexity"] = made_up.frame["perplexity_low"] = made_up.frame["perplexity_high"] = 2.0
    save(made_up, tmp_path, "key")
    made_up.frame.drop(columns=lacks).to_csv(tmp_path / "comparison.csv", index=False)
    found = load(tmp_path, "key")
    assert found is not None
    assert list(found.frame.columns) == list(made_up.frame.columns)
    assert found.frame.drop(columns=lacks).equals(made_up.frame.drop(columns=lacks))
    assert summary(found)[lacks].isna().all(axis=None)


def test_a_comparison_of_an_earlier_version_has_no_trial(tmp_path: Path) -> None:
    save(replace(comparison(), trial=7), tmp_path, "key", "best")
    about = json.loads((tmp_path / "comparison.json").read_text())
    found = load(tmp_path, of="best")
    assert found is not None
    assert found.trial == 7
    assert load(tmp_path, of="another") is None
    del about["trial"], about["of"]
    (tmp_path / "comparison.json").write_text(json.dumps(about))
    found = load(tmp_path)
    assert found is not None
    assert found.trial is None
    assert load(tmp_path, of="best") is None  # compared again


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


def test_the_highest_rate_that_keeps_enough() -> None:
    made_up = comparison()
    table = summary(made_up).set_index("method")
    for method in ("best found", "taylor", "magnitude_l1"):
        curve = made_up.frame[(made_up.frame.method == method) & (made_up.frame.part == "curve")]
        kept = [rate for rate, top1 in zip(curve.rate, curve.top1, strict=True) if top1 >= 0.95 * 0.95]
        assert table.rate_kept[method] == (max(kept) if kept else pytest.approx(float("nan"), nan_ok=True))
    assert pd.isna(table.rate_kept["dense"])
    # A curve that comes up again does not count, and one that starts too low has none.
    assert highest_rate(pd.Series([0.9, 0.5, 0.9], index=[0.0, 0.1, 0.2]), 0.8) == 0.0
    assert highest_rate(pd.Series([0.9, 0.8], index=[0.0, 0.1]), 0.8) == 0.1
    assert pd.isna(highest_rate(pd.Series([0.5, 0.9], index=[0.0, 0.1]), 0.8))


def test_the_strongest_rivals() -> None:
    made_up = comparison()
    assert rivals(made_up) == {"preset": "taylor", "criterion": "magnitude_l1"}
    paired = replace(made_up, against={"taylor": {"only_first": 9, "only_second": 1}})
    table = summary(paired).set_index("method")
    assert table.p["taylor"] == pytest.approx(22 / 1024)  # 2 (C(10, 9) + C(10, 10)) / 2^10
    assert (table.only_best["taylor"], table.only_other["taylor"]) == (9, 1)
    assert pd.isna(table.p["magnitude_l1"])
    peer = made_up.frame[made_up.frame.method == "taylor"].assign(method="VBP", kind="peer")
    named = made_up.frame.replace({"method": {"taylor": "taylor (linear)"}})
    more = replace(made_up, frame=pd.concat([named, peer], ignore_index=True))
    assert rivals(more) == {"preset": "taylor (linear)", "criterion": "magnitude_l1", "peer": "VBP"}


def test_one_rate_has_no_area() -> None:
    made_up = comparison()
    frame = made_up.frame[(made_up.frame.part == "target") | (made_up.frame.rate == 0)]
    table = summary(replace(made_up, frame=frame)).set_index("method")
    assert table.curve_mean["taylor"] == frame[frame.part == "curve"].set_index("method").top1["taylor"]
    assert pd.isna(table.trapezoid["taylor"])
