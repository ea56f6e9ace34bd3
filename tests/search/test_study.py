"""Studies: resumed, refused, described, seeded."""

import itertools
import time
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from tests.search.conftest import MakeConfig, few
from xaiprune.attribution.lrp.composite_io import load_composite
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PAPER, auto_recipe, load_recipe
from xaiprune.study import (
    Counts,
    best_recipe,
    best_trial,
    counts,
    dense_accuracy,
    load_study,
    loop,
    open_search,
    open_study,
    recipe_of,
    save_best,
    search,
    whole_recipe,
)
from xaiprune.study.fingerprint import differences
from xaiprune.study.sampler import make_sampler

PRESETS_ON_CNN = 8  # epsilon_cp is epsilon where there is no attention, and auto is Taylor


def points(study: optuna.Study) -> list[tuple[dict, float | None]]:
    return [(trial.params, trial.value) for trial in study.trials]


def test_n_trials_come_after_the_presets(config: MakeConfig) -> None:
    assert counts(search(config(*few(3)))).done == 3
    seen: list[int] = []
    study = search(config(*few(10)), lambda trial, done: seen.append(done))
    assert counts(study).done == 10
    assert seen == list(range(4, 11))
    assert counts(study) == Counts(done=10, running=0, failed=0, presets=8)
    assert counts(study).text(2) == "2 of 2 sampled trials done (8 presets before)"
    assert search(config(*few(10)), lambda *_: pytest.fail("nothing to do")).trials == study.trials


def test_presets_come_first_and_once(config: MakeConfig) -> None:
    search(config(*few(2)))
    study = search(config(*few(10)))
    presets = [trial.user_attrs.get("preset") for trial in study.trials]
    assert presets[:2] == ["auto", "epsilon"]
    assert None not in presets[:PRESETS_ON_CNN]
    assert presets[PRESETS_ON_CNN:] == [None, None]
    assert len(set(presets)) == PRESETS_ON_CNN + 1
    assert recipe_of(study.trials[0]).composite.name == "auto"


def test_a_search_begins_with_auto(config: MakeConfig) -> None:
    """Used as the search uses every ranking: by default as ``auto`` says, else as is typed."""
    wanted = ("study.n_trials=2", "units=inner_filters")
    for name, recipe in (("auto", "recipe=auto"), ("paper", "recipe=paper"), ("pxp", "space=pxp")):
        setup = open_search(config(*wanted, recipe, f"study.name={name}"))
        auto = auto_recipe(setup.session.model, setup.session.units, setup.session.example)
        session = setup.session  # as configured
        study = search(config(*wanted, recipe, f"study.name={name}"))
        assert [trial.user_attrs["preset"] for trial in study.trials[:2]] == ["auto", "epsilon"]
        expected = session.plan(session.scores(auto), 0.5)
        assert study.trials[0].user_attrs["scores"][0]["plan"] == session.plan_key(expected)
        whole = whole_recipe(study, study.trials[0])
        typed = {"relevance_per": "unit", "order": "score", "compensate": "none", "bn": "keep"}
        expected = PAPER.prune | (auto.prune | typed if name == "auto" else {})
        assert whole.prune | {"multiple": 1} == expected  # a multiple is stored only where there is one
        assert (whole.rate, whole.units) == (0.5, "inner_filters")
        assert bool(study.trials[0].params) is (name != "pxp")  # whose grid has no plain gradient
    prune = load_study(config("study.name=auto")).user_attrs["fingerprint"]["prune"]
    assert prune == {
        "rate": 0.5,
        "budget": "macs",
        "scope": "global",
        "min_units": 1,
        "sequential": False,
    }


def test_resumed_and_uninterrupted_studies_are_the_same(config: MakeConfig, tmp_path: Path) -> None:
    whole = search(config(*few(14), f"study.storage=sqlite:///{tmp_path}/whole.db"))
    for wanted in (9, 10, 14):
        parts = search(config(*few(wanted)))
    assert points(whole) == points(parts)
    other = search(config(*few(14), "seed=1", f"study.storage=sqlite:///{tmp_path}/other.db"))
    assert points(other) != points(whole)
    sampled = [str(params) for params, _ in points(whole)[PRESETS_ON_CNN:]]
    assert len(set(sampled)) == len(sampled)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_same_seed_same_study(config: MakeConfig, tmp_path: Path, sampler: str) -> None:
    one, other = (
        search(config(*few(12), f"sampler={sampler}", f"study.storage=sqlite:///{tmp_path}/{name}.db"))
        for name in ("one", "other")
    )
    assert points(one) == points(other)
    for attr in ("proposal", "key", "scores", "kept"):
        assert [t.user_attrs.get(attr) for t in one.trials] == [t.user_attrs.get(attr) for t in other.trials]


def test_workers_draw_what_others_do_not(config: MakeConfig) -> None:
    space = open_search(config()).space
    settings = {"_target_": "optuna.samplers.RandomSampler"}
    drawn = set()
    for worker in (None, 0, 1, 2):
        for trials in range(4):
            study = optuna.create_study(sampler=make_sampler(settings, space, 0, trials, worker))
            drawn.add(study.ask().suggest_float("x", 0, 1))
    assert len(drawn) == 4 * 4
    again = make_sampler(settings, space, 0, 3, 2)
    assert optuna.create_study(sampler=again).ask().suggest_float("x", 0, 1) in drawn


def test_presets_outside_the_space_are_tried_by_name(config: MakeConfig) -> None:
    study = search(config("space=pxp", *few(9)))
    taylor = study.trials[0]
    assert (taylor.user_attrs["preset"], taylor.params) == ("auto", {})
    assert taylor.value is not None
    assert recipe_of(taylor).start == "logit"
    inside = next(trial for trial in study.trials if trial.user_attrs.get("preset") == "epsilon")
    assert inside.params["low.rule"] == "epsilon"


def test_a_sampler_that_they_would_harm_does_without(
    config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    study = open_study(open_search(config("space=pxp", "sampler=gp")))
    assert "auto" not in [trial.user_attrs.get("preset") for trial in study.trials]


@pytest.mark.parametrize("sampler", ["random", "grid", "qmc", "gp"])
def test_samplers(config: MakeConfig, sampler: str) -> None:
    study = search(config("space=pxp", f"sampler={sampler}", *few(12)))
    assert counts(study).sampled == 4


def test_a_grid_ends_with_its_points(config: MakeConfig) -> None:
    wanted = config("space=pxp", "sampler=grid", "study.n_trials=50")
    wanted.space["rules"] = {"epsilon": {"rule": "epsilon", "epsilon": [0.1, 0.2]}}
    wanted.space["parts"] = {"all": {}}
    study = search(wanted)
    values = [trial.params["all.epsilon"] for trial in study.trials if trial.params]
    assert sorted(values) == [0.1, 0.1, 0.2, 0.2]  # times two ways to aggregate
    assert counts(study).done < 50


def test_sampler_mistakes_are_named(config: MakeConfig) -> None:
    space = open_search(config()).space
    for settings, message in (
        ({"_target_": "optuna.samplers.TPESample"}, "sampler._target_=optuna.samplers.TPESample"),
        (
            {"_target_": "optuna.samplers.TPESampler", "start_up": 3},
            "TPESampler does not take these settings .*start_up",
        ),
        ({}, "sampler._target_ is required"),
    ):
        with pytest.raises(XaipruneError, match=message):
            make_sampler(settings, space, 0, 0)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("prune.rate=0.4", "prune.rate was 0.5, now 0.4; objective.rates was"),
        ("data.validation_per_class=3", "data.validation was 40 images .*, now 30 images"),
        ("units=inner_filters", "units.kind was filters, now inner_filters"),
        ("objective=curve_mean", "objective.name was top1_at_rate, now curve_mean"),
        ("space.rules.gamma.gamma.high=3", "space.rules.gamma.gamma.high was 10.0, now 3"),
    ],
)
def test_another_set_up_is_refused(config: MakeConfig, override: str, named: str) -> None:
    open_study(open_search(config()))
    with pytest.raises(XaipruneError, match=named) as caught:
        open_study(open_search(config(override)))
    assert "Set study.name=ANOTHER_NAME" in str(caught.value)
    assert "\n" not in str(caught.value)
    open_study(open_search(config(override, "study.name=another")))


def test_what_does_not_change_values_may_change(config: MakeConfig) -> None:
    open_study(open_search(config()))
    open_study(open_search(config("seed=5", "sampler=random", "data.batch_size=7", "study.n_trials=77")))


def test_differences_are_named_by_key() -> None:
    old, new = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}
    assert list(differences(old, new)) == [("a.c", 2, 4), ("d", 3, None), ("e", None, 5)]


def test_a_foreign_study_is_refused(config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    url = f"sqlite:///{tmp_path}/studies/test.db"
    optuna.create_study(study_name="test", storage=url).optimize(lambda trial: 0.0, n_trials=1)
    with pytest.raises(XaipruneError, match="was not made by xaiprune"):
        open_study(open_search(config()))


def test_what_a_study_remembers(config: MakeConfig) -> None:
    setup = open_search(config(*few(1)))
    study = search(config(*few(1)))
    attrs = study.user_attrs
    assert attrs["fingerprint"]["units"]["found"] == sum(unit.units for unit in setup.session.units)
    (made_with,) = attrs["versions"]
    assert {"xaiprune", "torch", "timm", "optuna", "commit"} == set(made_with)
    dense = dense_accuracy(study, setup)
    assert dense.top1 == setup.session.accuracy().top1
    assert study.user_attrs["dense"]["images"] == 40
    assert dense_accuracy(study, setup).interval() == dense.interval()


def test_opening_to_read(config: MakeConfig) -> None:
    search(config(*few(2)))
    assert counts(load_study(config())).done == 2
    with pytest.raises(XaipruneError, match=r"no study 'tset' in .*did you mean 'test'"):
        load_study(config("study.name=tset"))
    with pytest.raises(XaipruneError, match="no study 'new'"):
        open_study(open_search(config("study.name=new", "study.load_only=true")))


def test_the_best_is_the_earliest_of_equals(config: MakeConfig) -> None:
    study = search(config(*few(9)))
    best = best_trial(study)
    assert best.value == study.best_value
    assert best.number == min(trial.number for trial in study.trials if trial.value == best.value)
    with pytest.raises(XaipruneError, match="no finished trial yet"):
        best_trial(optuna.create_study(study_name="empty"))


def test_the_best_as_a_file(config: MakeConfig, tmp_path: Path) -> None:
    study = search(config(*few(9)))
    best = recipe_of(best_trial(study))
    path = save_best(study, tmp_path / "out")
    assert load_composite(path) == best.composite
    written = yaml.safe_load(path.read_text())
    assert written["provenance"]["trial"] == best_trial(study).number
    assert written["start"] == best.start
    assert written["aggregation"]["mode"] == best.aggregation.mode
    assert load_recipe(path) == best_recipe(study)


def test_time_runs_out(config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()  # a clock that goes on when it is read: the machine does not matter
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(seconds), sleep=time.sleep))
    study = search(config("study.n_trials=500", "study.timeout=20"))
    assert 0 < counts(study).done < 20
    assert all(trial.state in (TrialState.COMPLETE, TrialState.WAITING) for trial in study.trials)
