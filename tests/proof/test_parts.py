"""The proof's own reckoning, without any network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

from benchmarks.proof import compensation, explaining, kept, pictures, tables
from benchmarks.proof.cases import CASES
from benchmarks.proof.kept import HALF, highest, strongest_preset
from benchmarks.proof.page import rendered
from benchmarks.proof.studies import DEPTH_GROUPS, JOINT_BALANCE, file_of, found, study_of
from benchmarks.proof.tables import Table, made_of, read
from benchmarks.proof.worth import fixed_numbers, further_variants, variants
from xaiprune.attribution import Aggregation, Composite
from xaiprune.attribution.lrp.composite import Match
from xaiprune.attribution.lrp.rules import AlphaBeta, Epsilon, Gamma
from xaiprune.errors import XaipruneError
from xaiprune.evaluation.faithfulness import Faithfulness
from xaiprune.recipe import PRESETS, Recipe

CASE = CASES["vit_tiny-neurons"]


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    return tmp_path


def test_rows_replace_those_of_their_case_and_seed_only(results: Path) -> None:
    table = Table("curves", "what it is")
    table.replace(CASE, 1, "a", [{"method": "x", "top1": 0.5}])
    table.replace(CASE, 0, "a", [{"method": "x", "top1": 0.4}])
    Table("curves", "what it is").replace(CASE, 1, "b", [{"method": "x", "top1": 0.6}])
    rows = read("curves")
    assert rows[["seed", "top1", "of"]].to_numpy().tolist() == [[0, 0.4, "a"], [1, 0.6, "b"]]
    assert Table("curves", "").has(CASE, 1, "b")
    again = Table("curves", "what it is")
    (known,) = again.rows(CASE, 1, "b")
    again.replace(CASE, 1, "b", [known, {"method": "y", "top1": 0.7}])  # goes on
    assert read("curves").method.tolist() == ["x", "x", "y"]
    assert not Table("curves", "").has(CASE, 1, "a")
    head = (results / "curves.csv").read_text().splitlines()
    assert head[0] == "# what it is"
    assert head[1].startswith("# python -m benchmarks.proof curves; last written with xaiprune")


def test_rows_are_stale_once_another_recipe_was_found() -> None:
    taylor, epsilon = PRESETS["taylor"], PRESETS["epsilon"]
    assert made_of(CASE, {"ours": taylor}) == made_of(CASE, {"ours": taylor})
    assert made_of(CASE, {"ours": taylor}) != made_of(CASE, {"ours": epsilon})
    assert made_of(replace(CASE, trials=9, title="")) == made_of(CASE)  # neither changes a figure
    assert made_of(replace(CASE, rate=0.1)) != made_of(CASE)


@pytest.mark.parametrize("knee", [0.0, 0.01, 0.37, 0.99])
def test_the_highest_rate_that_keeps_enough(knee: float) -> None:
    asked: list[float] = []

    def top1(rate: float) -> float:
        asked.append(rate)
        return 1.0 if rate <= knee + 1e-9 else 0.0

    assert highest(top1, 0.5) == pytest.approx(knee)
    assert len(asked) <= 7


def test_variants_take_one_choice_back_each() -> None:
    composite = Composite(
        layers=((Match(groups=("low",)), Gamma(3.0)), (Match(groups=("mid",)), AlphaBeta(2.5, 1.5)))
    )
    best = Recipe(composite, "contrast", Aggregation("sum_of_abs", "confidence", "l2"))
    tried = variants(best)
    one = tried["aggregate: abs_of_sum"]
    assert one.aggregation == Aggregation("abs_of_sum", "confidence", "l2")
    assert (one.composite, one.start) == (best.composite, best.start)
    assert tried["Taylor's rules, our ranking"].aggregation == best.aggregation
    assert tried["our rules, Taylor's ranking"].composite == composite
    assert tried["Taylor"] == PRESETS["taylor"]
    assert "between: lrp" not in tried  # it is so already


def test_a_search_that_counts_on_the_joint_order_has_variants_of_its_own() -> None:
    signed = Recipe(Composite(), "contrast", Aggregation("signed"), {"low": 3.0})
    tried = further_variants(signed)
    assert list(tried) == ["aggregate: sum_of_abs", "scale: none"]
    assert tried["aggregate: sum_of_abs"] == replace(signed, aggregation=Aggregation("sum_of_abs"))
    assert tried["scale: none"] == replace(signed, scale={})
    assert further_variants(replace(signed, aggregation=Aggregation("sum_of_abs"), scale={})) == {}


def test_the_papers_numbers_keep_the_rules() -> None:
    composite = Composite(
        Epsilon(0.3),
        layers=(
            (Match(groups=("low",)), Gamma(3.0)),
            (Match(types=("linear",)), Gamma(3.0)),
            (Match(groups=("high",)), Epsilon(0.0)),
            (Match(groups=("mid",)), AlphaBeta(2.5, 1.5)),
        ),
    )
    fixed = fixed_numbers(composite)
    assert fixed.default == Epsilon(1e-6)
    assert [rule for _, rule in fixed.layers] == [Gamma(0.25), Gamma(0.05), Epsilon(0.0), AlphaBeta(2.0, 1.0)]


def test_a_search_that_was_not_run_has_found_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # neither a study nor the composite that further searches start from
    assert found(CASE, 0) == {}


def test_a_database_without_a_study_has_found_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # a search was stopped while it made its tables
    file = file_of(CASE, 0)
    file.parent.mkdir(parents=True)
    optuna.storages.RDBStorage(f"sqlite:///{file}").engine.dispose()
    assert study_of(CASE, 0) is None


def test_the_strongest_preset_is_that_of_the_first_seed(results: Path) -> None:
    assert strongest_preset(CASE, "linear") is None
    rows = [
        {"compensate": compensate, "rate": rate, "method": method, "kind": kind}
        for compensate, rate, method, kind in (
            ("none", 0.4, "taylor", "preset"),
            ("none", 0.4, "balance", "ours"),
            ("linear", 0.7, "zplus", "preset"),
            ("linear", 0.7, "epsilon, signed", "signed"),
        )
    ]
    Table(HALF, "").replace(CASE, 1, "a", [{**row, "rate": 0.9} for row in rows])
    Table(HALF, "").replace(CASE, 0, "a", rows)
    assert strongest_preset(CASE, "none") == (0.4, "taylor")
    assert strongest_preset(CASE, "linear") == (0.7, "zplus")
    assert strongest_preset(CASE, "linear", kind="signed") == (0.7, "epsilon, signed")
    assert strongest_preset(CASE, "none", kind="signed") is None


def test_the_search_that_counts_is_the_best_on_validation_images(results: Path) -> None:
    rows = [
        {
            "compensate": "none",
            "rate": 0.4,
            "method": method,
            "kind": kind,
            "validation": validation,
            **_figures(top1),
        }
        for method, kind, validation, top1 in (
            ("taylor", "preset", None, 0.2),
            ("taylor", "joint", None, 0.25),
            ("epsilon, signed", "signed", None, 0.28),
            ("depth_groups", "ours", None, 0.39),  # scored at another rate
            ("balance", "ours", 0.4, 0.31),
            ("joint", "ours", 0.41, 0.3),
            ("joint_balance", "ours", 0.41, 0.32),
        )
    ]
    Table(HALF, "").replace(CASE, 0, "a", rows)
    text = rendered("<!-- table: half-none -->\n<!-- end -->\n")
    assert (
        "| taylor: 20.0 [10.0, 90.0] | 25.0 | epsilon: 28.0 | 39.0 | 31.0 | 30.0 | **32.0** | +12.0 |" in text
    )
    Table(HALF, "").replace(CASE, 0, "a", rows[:4])  # no search was scored as it is measured
    assert "| 25.0 | epsilon: 28.0 | **39.0** | +19.0 |" in rendered(
        "<!-- table: half-none -->\n<!-- end -->\n"
    )


def test_the_later_of_equal_searches_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"balance": 0.4, "joint": 0.5, "joint_balance": 0.5, "finer": 0.45}
    monkeypatch.setattr(kept, "validation", lambda case, seed, stage, compensate: scores.get(stage.name))
    monkeypatch.setattr(kept, "finished", lambda case, seed, stage: stage if seed == 0 else None)
    assert kept.chosen_search(CASE, 0, "none") == JOINT_BALANCE
    scores.clear()
    assert kept.chosen_search(CASE, 0, "none") == DEPTH_GROUPS
    assert kept.chosen_search(CASE, 1, "none") is None


def test_orders_stand_side_by_side(results: Path) -> None:
    rows = [
        {"method": "taylor", "rate": 0.5, "compensate": compensate, "order": order, **_figures(top1)}
        for compensate, order, top1 in (
            ("none", "score", 0.1),
            ("none", "joint", 0.2),
            ("linear", "score", 0.3),
            ("linear", "joint", 0.4),
        )
    ]
    Table("order", "").replace(CASE, 0, "a", rows)
    text = rendered("<!-- table: order -->\n<!-- end -->\n")
    assert "| none, `score` | none, `joint` | linear, `score` | linear, `joint` |" in text
    assert "1000-way, 50% | taylor | 10.0 | 20.0 | 30.0 | 40.0 |" in text


def test_what_can_go_is_told_by_compensation_and_order(results: Path) -> None:
    for seed, rate in ((0, 0.4), (1, 0.5)):
        made = {"method": "taylor", "kind": "taylor", "compensate": "linear", "order": "joint"}
        Table("kept", "").replace(CASE, seed, "a", [{**made, "rate": rate, "dense": 0.7}])
    text = rendered("<!-- table: kept -->\n<!-- end -->\n")
    assert "| Taylor, `score` | Taylor, `joint` | best found | best search where half is lost |" in text
    assert f"| {CASE.title} | 70.0 | linear |  | 0.45 (0.40–0.50) |  |  |" in text


def test_rounds_stand_side_by_side(results: Path) -> None:
    rows = [
        {"compensate": "linear", "rate": 0.75, "method": "taylor", "rounds": rounds, **_figures(top1)}
        for rounds, top1 in ((1, 0.3), (3, 0.4))
    ]
    Table("rounds", "").replace(CASE, 0, "a", rows)
    text = rendered("<!-- table: rounds -->\n<!-- end -->\n")
    assert "| ranking | ranked once | 3 rounds |" in text
    assert "| linear | 0 | 0.75 | taylor | 30.0 [10.0, 90.0] | 40.0 [10.0, 90.0] |" in text


def test_speed_shows_median_and_quartiles(results: Path) -> None:
    times = {
        f"batch{batch}{key}": value
        for batch in (1, 32)
        for key, value in (("", 0.8), ("_low", 0.7), ("_high", 0.95))
    }
    row = {"method": "taylor", "rate": 0.5, "params": 0.6, "macs": 0.72, **times}
    Table("speed", "").replace(CASE, 0, "a", [row])
    text = rendered("<!-- table: speed -->\n<!-- end -->\n")
    assert "| taylor | 0.5 | 0.60 | 0.72 | 0.80 (0.70–0.95) | 0.80 (0.70–0.95) |" in text


def test_searches_stand_beside_the_rankings_under_compensation(results: Path) -> None:
    made = {"rate": 0.5, "compensate": "linear", "macs": 0.7}
    rows = [{"method": "depth_groups", **made, **_figures(0.2)}]
    Table("compensation", "").replace(CASE, 0, "a", rows)
    assert compensation.curves().method.tolist() == ["depth_groups"]
    for seed, search, top1 in ((0, "signed", 0.4), (1, "joint", 0.6)):
        rows = [
            {"method": search, "kind": "search", **made, **_figures(top1)},
            {"method": "taylor", "kind": "taylor", **made, **_figures(0.3)},
        ]
        Table("compensation_searched", "").replace(CASE, seed, "a", rows)
    text = rendered("<!-- table: compensation-vit_tiny-neurons -->\n<!-- end -->\n")
    assert "| depth_groups | linear | 20.0 |" in text
    assert "| best search | linear | 50.0 |" in text  # of both seeds, whichever search it was
    assert "| taylor, joint order | linear | 30.0 |" in text


def test_variants_and_draws_of_the_best_searches_have_tables(results: Path) -> None:
    rows = [
        {"search": "signed", "variant": name, "difference": difference, "p": p}
        for name, difference, p in (("signed", 0.0, 1.0), ("scale: none", -0.05, 0.01))
    ]
    Table("dimensions_chosen", "").replace(CASE, 0, "a", rows)
    text = rendered("<!-- table: dimensions_chosen-vit_tiny-neurons -->\n<!-- end -->\n")
    assert "| scale: none | -5.0 |" in text
    assert "| signed |" not in text
    rows = [
        {"searched_with": of, "search": "joint", **_figures(top1)} for of, top1 in (("0", 0.5), ("1", 0.4))
    ]
    Table("travel_chosen", "").replace(CASE, 0, "a", rows)
    text = rendered("<!-- table: travel_chosen-vit_tiny-neurons -->\n<!-- end -->\n")
    assert "| best of seed 1 | 40.0 |" in text


def test_explaining_tells_its_searches_apart(results: Path) -> None:
    assert not len(explaining.measured())
    for name, space, sign in (("explaining", "depth_groups", 1), ("explaining_signed", "signed", -1)):
        rows = [
            {"trial": n, "space": space, "validation_top1": n / 10, "faithfulness": faithful}
            for n, faithful in enumerate((sign * 1.0, sign * 2.0, float("nan")))
        ]
        Table(name, "").replace(CASE, 0, "a", rows)
    text = rendered("<!-- table: explaining -->\n<!-- end -->\n")
    assert f"| {CASE.title} | depth_groups | 2 | 1.00 | 10.0 %, 2.00 | 10.0 %, 2.00 |" in text
    assert f"| {CASE.title} | signed | 2 | -1.00 | 10.0 %, -2.00 | 0.0 %, -1.00 |" in text


def test_pictures_are_drawn_of_what_was_measured(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "RESULTS", results)
    pictures.draw()
    assert not list(results.iterdir())
    rows = [
        {
            "compensate": "none",
            "rate": 0.4,
            "method": method,
            "kind": kind,
            "validation": 0.3,
            **_figures(0.3),
        }
        for method, kind in (("taylor", "preset"), ("balance", "ours"), ("joint", "ours"))
    ]
    Table("half", "").replace(CASE, 0, "a", rows)
    pictures.draw()
    assert (results / "half.png").read_bytes().startswith(b"\x89PNG")


def test_explaining_goes_on_where_it_was_stopped(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study()
    for number in range(3):
        scored = {"scores": [{"top1": number / 10, "images": 50}], "proposal": {}}
        study.add_trial(optuna.trial.create_trial(value=number / 10, user_attrs=scored))
    tried: list[int] = []

    def explained(_: object, number: int) -> Faithfulness:
        tried.append(number)
        if number == 1 and tried.count(1) == 1:
            raise KeyboardInterrupt
        if number == 2:
            raise XaipruneError("not finite")
        return Faithfulness(np.array([0.0, 1.0]), np.zeros((2, 3)), np.ones((2, 3)))

    monkeypatch.setattr(explaining, "TRIALS", 3)
    monkeypatch.setattr(explaining, "finished", lambda *_: study)
    monkeypatch.setattr(explaining, "session_of", lambda *_: None)
    monkeypatch.setattr(explaining, "recipe_of", lambda trial: trial.number)
    monkeypatch.setattr(explaining, "explained", explained)
    with pytest.raises(KeyboardInterrupt):
        explaining.run(CASE, 0)
    explaining.run(CASE, 0)
    explaining.run(CASE, 0)
    assert sorted(set(tried)) == [0, 1, 2]
    assert (tried.count(0), tried.count(2)) == (1, 1)  # one that cannot be explained is not tried again
    assert read("explaining").faithfulness.isna().tolist().count(True) == 1


def test_tables_are_written_between_their_markers(results: Path) -> None:
    frame = pd.DataFrame(
        [
            {
                "method": method,
                "kind": kind,
                "part": part,
                "rate": rate,
                **_figures(top1),
            }
            for method, kind, part, rate, top1 in (
                ("dense", "dense", "target", 0.0, 0.8),
                ("depth_groups", "best", "target", 0.5, 0.4),
                ("taylor", "criterion", "target", 0.5, 0.3),
                ("depth_groups", "best", "curve", 0.5, 0.5),
            )
        ]
    )
    Table("curves", "").replace(CASE, 0, "a", frame.to_dict("records"))
    tables = ("target-vit_tiny-neurons", "half-none")
    text = "a\n" + "".join(f"<!-- table: {name} -->\nold\n<!-- end -->\n" for name in tables)
    new = rendered(text)
    assert "| **depth_groups** | 40.0 [10.0, 90.0] | **40.0** | 50.0 |" in new
    assert new.index("dense") < new.index("depth_groups") < new.index("taylor")
    assert "old" not in new
    assert "*Not measured yet.*" in new
    assert rendered(new) == new


def _figures(top1: float) -> dict[str, float]:
    return {"top1": top1, "low": 0.1, "high": 0.9}
