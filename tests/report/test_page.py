"""The report's page: what it says, and what it must not."""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from xaiprune.comparison import table as kept
from xaiprune.errors import XaipruneError
from xaiprune.report.page import curves, figures, page, read_findings, settings, tables, write_page
from xaiprune.report.page.compared import headline, key_figures, verdict
from xaiprune.report.palette import BEST, method_styles
from xaiprune.storage import quiet

from .made_up import comparison
from .made_up_study import LAYER_NAMES, findings, make

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def with_cost(folder: Path, trial: int = 3, **changed: object) -> None:
    count = {"params": 1000, "macs": 20_000_000, "bytes": 4000}
    pruned = {key: value // 2 for key, value in count.items()}
    found = {"schema": "xaiprune/cost/1", "trial": trial, "key": "k", "dense": count, "pruned": pruned}
    (folder / "cost.json").write_text(json.dumps(found | changed))
    (folder / "heatmaps.png").write_bytes(PNG)


def shown(text: str) -> str:
    """What a reader sees, without scripts and styles."""
    text = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with everything on it."""
    folder = tmp_path_factory.mktemp("full")
    kept.save(comparison(), folder, "key")
    with_cost(folder)
    return page(findings(folder))


def test_says_what_was_searched_and_found(full: str) -> None:
    text = shown(full)
    for piece in (
        "digits_resnet, weights 5da3355f8eb97cc6",
        "64 filters in 4 layers (exclude fc)",
        "rate 0.5 of units, global ranking, min_units 1",
        "The smaller network is made by: xaiprune prune study.name=made_up study.storage=sqlite:",
        "top1_at_rate",
        "TPESampler; pruner WilcoxonPruner",
        "75bf81e8b4d93ca0",
        "xaiprune search model=digits_resnet prune.rate=0.5 study.name=made_up study.n_trials=30",
        "1,000 500 50.0 %",
        "20 M 10 M 50.0 %",
        "torch",
    ):
        assert piece in text
    assert "report.network=true" not in text


def test_every_figure_has_data_and_a_place(full: str) -> None:
    data = re.search(r'id="figures">(.*?)</script>', full, re.DOTALL)
    assert data is not None
    found = json.loads(data.group(1))
    names = ["curves", "history", "importances", "rules", "numbers", "kept"]
    assert [figure["id"] for figure in found] == names
    for figure in found:
        assert f'id="figure-{figure["id"]}"' in full
        assert figure["data"]


def test_nothing_is_loaded_and_nothing_of_a_study_is_run(full: str) -> None:
    own = re.sub(r"<script>.*?</script>", "", full, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", own)
    assert "@import" not in own
    assert "<script>alert(1)" not in full
    assert "&lt;script&gt;alert(1)" in full
    assert full.count("</script>") == 3


def test_the_headline_has_intervals_and_the_curves_colours(full: str, tmp_path: Path) -> None:
    kept.save(comparison(), tmp_path, "key")
    found = findings(tmp_path)
    rows = headline(found)
    assert rows[0].name == "dense"
    assert [row.at for row in rows[1:]] == sorted((row.at for row in rows[1:]), reverse=True)
    styles = method_styles([str(name) for name in found.methods.method if name != "dense"])
    assert all(row.color == styles[row.name].color for row in rows[1:])
    drawn = curves.curves(found.comparison)
    lines = {trace.name: trace.line.color for trace in drawn.figure.data if trace.name}
    assert lines == {row.name: row.color for row in rows[1:]}
    assert curves.each(found.comparison) is None
    best = next(row for row in rows if row.best)
    assert best.color == BEST
    assert f"{best.top1} ({best.interval}) on 200 test images" in verdict(found)
    assert "intervals do not overlap" in verdict(found)
    assert key_figures(found)[0] == ("best found, test", best.top1, f"{best.interval}; 200 test images")


def test_many_methods_are_shown_each_by_itself(tmp_path: Path) -> None:
    made_up = comparison()
    one = made_up.frame[made_up.frame.method == "LRP epsilon"]
    more = [one.assign(method=f"LRP {i}", top1=one.top1 - 0.001 * i) for i in range(9)]
    many = replace(made_up, frame=pd.concat([made_up.frame, *more], ignore_index=True))
    kept.save(many, tmp_path, "key")
    found = findings(tmp_path)
    assert found.comparison is not None
    together, alone = curves.curves(found.comparison), curves.each(found.comparison)
    assert alone is not None
    lines = {trace.name for trace in together.figure.data if trace.name}
    assert {"best found", "taylor", "random"} < lines
    assert len(lines) == curves.TOGETHER
    names = [label.text for label in alone.figure.layout.annotations]
    assert {*names} == {str(name) for name in many.frame.method.unique()} - {"dense", *lines}
    assert len(alone.figure.data) == 2 * len(names)  # each beside the best found
    colors = {row.name: row.color for row in headline(found)}
    assert all(trace.line.color == colors[trace.name] for trace in alone.figure.data)
    assert names[-1] == "magnitude_l1"  # the least accurate
    assert [axis for axis in alone.narrow if axis.startswith("xaxis")] == [
        axis for axis in alone.figure.layout.to_plotly_json() if axis.startswith("xaxis")
    ]
    text = page(found)
    assert 'id="figure-each"' in text


def test_curves_are_drawn_over_costs_where_they_are_known() -> None:
    made_up = comparison()
    drawn = curves.curves(made_up)
    titles = [drawn.figure.layout[f"xaxis{n}"].title.text for n in ("", "2", "3")]
    assert titles == ["rate: part removed", "MACs left", "parameters left"]
    before = made_up.frame.assign(macs=float("nan"), params=float("nan"))
    assert "xaxis2" not in curves.curves(replace(made_up, frame=before)).figure.layout.to_plotly_json()


def test_the_paired_test_is_told(tmp_path: Path) -> None:
    against = {
        "taylor": {"only_first": 30, "only_second": 9},
        "LRP epsilon": {"only_first": 5, "only_second": 5},
    }
    kept.save(replace(comparison(), against=against), tmp_path, "key")
    found = findings(tmp_path)
    p = {row.name: row.p for row in headline(found)}
    assert p["taylor"] == "0.001"
    assert p["LRP epsilon"] == "1.000"
    assert p["random"] == p["best found"] == p["dense"] == ""
    assert "p 0.001 in a paired test on the same images" in verdict(found)
    assert "exact McNemar test" in shown(page(found))


def test_the_newer_comparison_is_shown(tmp_path: Path) -> None:
    """The search's, or that of the compare task."""
    study = make()
    kept.save(comparison(), tmp_path, "key")
    kept.save(comparison(test_images=100), tmp_path / "compare", "key")
    os.utime(tmp_path / "comparison.json", (1, 1))
    newer = findings(tmp_path, study)
    assert newer.comparison is not None
    assert (newer.comparison.test_images, newer.stale) == (100, False)
    os.utime(tmp_path / "compare" / "comparison.json", (2, 2))
    found = findings(tmp_path, study)
    assert found.stale  # the best trial ran later
    assert "This comparison is of an earlier best" in shown(page(found))
    os.utime(tmp_path / "comparison.json", (3, 3))
    older = findings(tmp_path, study)
    assert older.comparison is not None
    assert older.comparison.test_images == 200


def test_a_comparison_that_notes_its_trial_needs_no_other_file(tmp_path: Path) -> None:
    study = make()
    best = int(findings(tmp_path, study).best.number)
    for trial in (best, best + 1):
        kept.save(replace(comparison(), trial=trial), tmp_path, "key")
        found = findings(tmp_path, study)
        assert (found.compared, found.stale) == (trial, trial != best)


def test_a_comparison_of_another_composite_is_not_the_studys(tmp_path: Path) -> None:
    made_up = comparison()
    frame = made_up.frame.replace({"method": {"best found": "mine.yaml"}})
    kept.save(replace(made_up, frame=frame), tmp_path / "compare", "key")
    assert findings(tmp_path).comparison is None


def test_without_a_comparison_it_says_so_and_how_to_get_one(tmp_path: Path) -> None:
    text = shown(page(findings(tmp_path)))
    assert "There is no comparison on test images yet" in text
    assert "xaiprune search model=digits_resnet prune.rate=0.5 study.name=made_up study.n_trials=30" in text
    assert "xaiprune report study.name=made_up study.storage=sqlite:///studies/made_up.db" in text
    assert "studies/made_up.db report.network=true" in text


def test_a_comparison_of_an_earlier_best_is_marked(tmp_path: Path) -> None:
    kept.save(comparison(), tmp_path, "key")
    with_cost(tmp_path, trial=0)
    (tmp_path / "best.yaml").write_text("provenance: {trial: 0}\n")
    found = findings(tmp_path)
    assert found.best.number != 0
    text = shown(page(found))
    assert f"This comparison is of trial 0; trial {found.best.number} has been better since" in text
    assert f"network of trial 0 (trial {found.best.number} has been better since" in text
    (tmp_path / "best.yaml").write_text(f"provenance: {{trial: {found.best.number}}}\n")
    assert "This comparison is of trial" not in shown(page(findings(tmp_path)))


def test_few_trials_give_no_importances(tmp_path: Path) -> None:
    text = shown(page(findings(tmp_path, make(5))))
    assert (
        "No importances of settings: they need at least 20 finished trials with parameters, and there are 5"
        in text
    )


def test_a_study_of_an_older_version(tmp_path: Path) -> None:
    found = findings(tmp_path, make(noted=False))
    text = shown(page(found))
    assert "made by an older version, which did not store the layers" in text
    assert "made by an older version, which did not store its commands" in text
    assert settings.rules(found) is None
    assert figures.kept(found) is None


def test_two_objectives(tmp_path: Path) -> None:
    found = findings(tmp_path, make(cost="macs"))
    drawn = figures.front(found)
    rows = tables.pareto(found)
    on = found.complete[found.complete.front]
    line = drawn.figure.data[1]
    assert len(line.x) == len(rows) == len(on)
    assert list(line.x) == sorted(line.x)
    assert list(line.y) == sorted(line.y)
    text = shown(page(found))
    assert "The Pareto front" in text
    assert "top1_at_rate, minimising macs" in text


def test_rules_over_depth(tmp_path: Path) -> None:
    found = findings(tmp_path)
    drawn = settings.rules(found)
    assert drawn is not None
    best, everyone, marks = drawn.figure.data
    for table in (best, everyone):
        assert len(table.z[0]) == len(LAYER_NAMES)
        assert [sum(column) for column in zip(*table.z, strict=True)] == pytest.approx([1] * 5, abs=1e-3)
    # In the made-up study gradient in the middle is what makes a trial good.
    middle = best.y.index("gradient")
    assert best.z[middle][1] > everyone.z[middle][1]
    chosen = found.best["low.rule"]
    assert marks.y[0] == chosen


def test_no_axis_without_a_dot(tmp_path: Path) -> None:
    """A number that only stopped trials had; an empty axis is an error in the browser."""
    study, alpha = make(5, failed=0), FloatDistribution(1, 3)
    with quiet():
        stopped = {"params": {"low.alpha": 2.0}, "distributions": {"low.alpha": alpha}}
        study.add_trial(create_trial(state=TrialState.PRUNED, **stopped))
    found = findings(tmp_path, study)
    assert "low.alpha" in found.trials
    drawn = settings.numbers(found)
    assert drawn is not None
    assert all(len(trace.x) for trace in drawn.figure.data)
    assert [axis.title.text for axis in drawn.figure.select_xaxes()] == ["epsilon", "gamma"]
    assert drawn.title == "Which values of epsilon and gamma worked"


def test_stopped_trials_count_among_all_that_were_tried(tmp_path: Path) -> None:
    study = make(6, failed=0)
    with quiet():
        study.add_trial(
            create_trial(
                state=TrialState.PRUNED,
                user_attrs={key: study.trials[0].user_attrs[key] for key in ("proposal", "key")},
            )
        )
    found = findings(tmp_path, study)
    drawn = settings.rules(found)
    assert drawn is not None
    rule = study.trials[0].params["low.rule"]
    of_seven = sum(trial.params["low.rule"] == rule for trial in study.trials[:6]) + 1
    everyone = drawn.figure.data[1]
    assert everyone.z[everyone.y.index(rule)][0] == pytest.approx(of_seven / 7, abs=1e-3)
    assert "not shown: 1 stopped in a race" in figures.history(found).caption  # it was stopped at once


def test_trials_that_were_stopped_in_a_race_have_a_dot_for_what_they_have_seen(tmp_path: Path) -> None:
    study = make(6, failed=0)
    attrs = {key: study.trials[0].user_attrs[key] for key in ("proposal", "key")}
    seen = {"rate": 0.5, "correct": 30, "images": 100, "top1": 0.3, "low": 0.22, "high": 0.4}
    with quiet():
        study.add_trial(create_trial(state=TrialState.PRUNED, user_attrs=attrs | {"scores": [seen]}))
    drawn = figures.history(findings(tmp_path, study))
    (dots,) = [trace for trace in drawn.figure.data if trace.name == "stopped in a race"]
    assert (list(dots.x), list(dots.y)) == ([6], [0.3])
    assert dots.text[0].startswith("<b>30.0 %</b>  trial 6, stopped in a race")
    assert "those of trials stopped in a race on the first of them." in drawn.caption
    assert "not shown" not in drawn.caption


def test_trials_that_removed_the_same_units_are_shown_once(tmp_path: Path) -> None:
    numbers = [row[0] for row in tables.best_trials(findings(tmp_path))]
    assert "1" not in numbers
    assert len(numbers) == 10


def test_factors_are_written_for_people(tmp_path: Path) -> None:
    found = findings(tmp_path)
    for recipe in found.stored.attrs["proposal"].values():
        recipe["scale"] = {"high": 0.5, "layer1.conv": 1.2345678}
    assert ("scale", "high 0.5, layer1.conv 1.23") in tables.recipe(found)


def test_reasons_of_failed_trials(tmp_path: Path) -> None:
    rows = tables.failed(findings(tmp_path, make(2, failed=25)))
    assert rows[0] == ("2", "layer1.conv: relevance is not finite <script>alert(1)</script>")
    assert rows[-1] == ("…", "and 5 more, in trials.csv")


def test_a_damaged_cost_file_is_named(tmp_path: Path) -> None:
    with_cost(tmp_path, dense={})
    with pytest.raises(XaipruneError, match=r"cost\.json is damaged .*remove it"):
        findings(tmp_path)


def test_a_cost_file_of_another_version_does_not_count(tmp_path: Path) -> None:
    with_cost(tmp_path, schema="xaiprune/cost/9")
    found = findings(tmp_path)
    assert found.cost is found.heatmaps is None


@pytest.mark.parametrize(("trials", "failed"), [(0, 0), (0, 2)])
def test_nothing_finished(tmp_path: Path, trials: int, failed: int) -> None:
    with pytest.raises(XaipruneError, match="study 'made_up' has no finished trial yet"):
        read_findings(make(trials, failed=failed), "", tmp_path)


def test_a_failure_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(tables, "setup", lambda found: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_page(findings(tmp_path), path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
