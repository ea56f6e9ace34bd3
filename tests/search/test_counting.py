"""How many trials a search runs: the presets, and ``study.n_trials`` further ones; and whether they race."""

import optuna
import pytest
from optuna.pruners import MedianPruner, NopPruner, WilcoxonPruner
from optuna.trial import TrialState, create_trial

from tests.search.conftest import MakeConfig, few
from xaiprune.attribution import save_composite
from xaiprune.cli.common.search_display import setup_text
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS
from xaiprune.study import Counts, counts, open_search, open_study, search


def presets_of(study: optuna.Study) -> list[str]:
    return [trial.user_attrs["preset"] for trial in study.trials if "preset" in trial.user_attrs]


def test_what_is_left() -> None:
    new = Counts(done=0, running=0, failed=0, presets_left=12)
    assert (new.left(60), new.text(60)) == (72, "0 of 60 sampled trials done (0 of 12 presets)")
    middle = Counts(done=49, running=1, failed=3, presets=12)
    assert (middle.sampled, middle.left(60)) == (37, 23)
    assert middle.text(60) == "37 of 60 sampled trials done (12 presets before)"
    assert middle.left(30) == 0
    assert Counts(done=7, running=0, failed=0).text(9) == "7 of 9 sampled trials done"


def test_trials_are_counted_by_what_they_are() -> None:
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({}, user_attrs={"preset": "zplus"})
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
        for attrs in ({"preset": "taylor"}, {}):
            value = 0.5 if state is TrialState.COMPLETE else None
            study.add_trial(create_trial(state=state, value=value, user_attrs=attrs))
    study.add_trial(create_trial(state=TrialState.WAITING))  # queued by hand: as good as sampled
    assert counts(study) == Counts(done=4, running=0, failed=2, presets=2, presets_left=1)


def test_presets_alone(config: MakeConfig) -> None:
    study = search(config("study.n_trials=0", "study.presets=[zplus,taylor]"))
    assert presets_of(study) == ["taylor", "zplus"]
    assert len(study.trials) == 2
    # More of them, and then the sampler's.
    study = search(config("study.n_trials=1", "study.presets=[epsilon]"))
    assert presets_of(study) == ["taylor", "zplus", "epsilon"]
    assert counts(study).sampled == 1


def test_no_presets(config: MakeConfig, tmp_path) -> None:
    study = search(config("study.n_trials=2", "study.presets=[]"))
    assert (presets_of(study), len(study.trials)) == ([], 2)
    file = save_composite(tmp_path / "mine.yaml", PRESETS["epsilon_cp"].composite)
    given = open_study(open_search(config("study.presets=[]", "recipe=paper", f"composite={file}")))
    assert presets_of(given) == ["mine.yaml"]  # it was asked for


def test_a_preset_that_is_not_there_is_named(config: MakeConfig) -> None:
    with pytest.raises(XaipruneError, match=r"study\.presets: there is no preset 'tailor'; did you mean"):
        open_search(config("study.presets=[tailor]"))


def test_variants_of_a_preset_come_with_it(config: MakeConfig) -> None:
    asked = ("space.order=[score,joint]", "study.presets=[taylor,epsilon]", "units=neurons")
    study = open_study(open_search(config(*asked, model="digits_vit")))
    assert presets_of(study) == ["taylor", "taylor, joint", "epsilon", "epsilon, signed"]


def test_a_study_that_counted_its_presets_goes_on(config: MakeConfig) -> None:
    """An older xaiprune has stopped after ten trials in all: eight presets and two of the sampler's."""
    before = [trial.params for trial in search(config(*few(10))).trials]
    again = search(config("study.n_trials=10"))
    assert [trial.params for trial in again.trials[:10]] == before
    assert counts(again) == Counts(done=18, running=0, failed=0, presets=8)


MANY = "data.validation_per_class=21"  # 210 images: five chunks


@pytest.mark.parametrize(
    ("typed", "pruner", "text"),
    [
        ((MANY,), WilcoxonPruner, "WilcoxonPruner, 50 of 210 validation images at a time"),
        ((), NopPruner, "none: 40 validation images are too few"),
        ((MANY, "objective.cost=macs"), NopPruner, "none: objective.cost=macs makes two values"),
        ((MANY, "objective=max_rate_at_drop"), NopPruner, "none: objective=max_rate_at_drop has no running"),
        ((MANY, "objective=faithfulness"), NopPruner, "none: objective=faithfulness has no running value"),
        ((MANY, "objective.constraints=['macs <= 0.5']"), NopPruner, "none: a stopped trial says nothing"),
        ((MANY, "pruner=none"), NopPruner, "none"),
        ((MANY, "pruner=median"), MedianPruner, "MedianPruner, 50 of 210"),
        (("pruner=wilcoxon",), WilcoxonPruner, "WilcoxonPruner, 50 of 40"),
        ((MANY, "pruner.p_threshold=0.01"), WilcoxonPruner, "WilcoxonPruner, 50 of 210"),
    ],
)
def test_trials_race_where_they_can(
    config: MakeConfig, typed: tuple[str, ...], pruner: type, text: str
) -> None:
    setup = open_search(config(*typed))
    study = open_study(setup)
    assert type(study.pruner) is pruner
    shown = setup_text(setup, None, study, "sqlite:///studies.db")
    assert f"\nracing      {text}" in shown


def test_the_default_race_has_its_settings(config: MakeConfig) -> None:
    plain = {key: value for key, value in config().pruner.items() if key != "where_possible"}
    assert plain == config("pruner=wilcoxon").pruner
    with pytest.raises(XaipruneError, match=r"cannot race.*set pruner=auto or none"):
        open_search(config("objective.cost=macs", "pruner=wilcoxon"))
