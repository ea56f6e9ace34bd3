"""The objective `faithfulness`: heatmaps are judged, nothing is pruned before the comparison."""

import pytest
from optuna.trial import TrialState

from tests.search.conftest import MakeConfig, few
from xaiprune.attribution.heatmap import heatmaps
from xaiprune.cli import search as task
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import faithfulness
from xaiprune.recipe import PRESETS
from xaiprune.report import faithfulness as faithfulness_of_trials
from xaiprune.study import best_trial, open_search, recipe_of, search
from xaiprune.trial import ScoreCache, Stopwatch, run_trial

EXPLAIN = ("objective=faithfulness", "objective.validation_limit=6")


@pytest.mark.parametrize("model", ["digits_resnet", "digits_vit"])
def test_a_trials_value_is_the_area_between_the_curves(config: MakeConfig, model: str) -> None:
    units = "filters" if model == "digits_resnet" else "neurons"
    setup = open_search(config(*EXPLAIN, f"units={units}", model=model))
    images = setup.session.validation
    for name in ("taylor", "alpha2beta1_first"):
        recipe = PRESETS[name]
        found = run_trial(setup, recipe, 0, ScoreCache(), Stopwatch())
        maps = heatmaps(
            setup.session.model, images.tensor(), images.labels, recipe.composite, start=recipe.start
        )
        expected = faithfulness(setup.session.model, images.tensor(), images.labels, maps, setup.session.task)
        assert found.values == (pytest.approx(expected.area, rel=1e-5),)
        assert found.faithfulness is not None
        assert found.faithfulness["low"] <= expected.area <= found.faithfulness["high"]


def test_only_what_changes_heatmaps_is_searched(config: MakeConfig) -> None:
    space = ["space.scale.low.low=0.1", "space.scale.low.high=10", "space.compensate=[none,mean]"]
    space.append("space.order=[score,joint]")
    for objective, expected in ((EXPLAIN, False), ((), True)):
        names = open_search(config(*objective, *space)).space.searched()
        assert "start" in names
        assert "low.rule" in names
        for name in ("aggregate", "image_weight", "normalize", "compensate", "order", "scale.low"):
            assert (name in names) is expected, name
    # Also the rule of the layer that reads the image.
    each = open_search(config(*EXPLAIN, "space=per_layer")).space.searched()
    assert "conv1.rule" in each
    assert "conv1.rule" not in open_search(config("space=per_layer")).space.searched()


def test_a_search_that_resumes(config: MakeConfig) -> None:
    whole = search(config(*EXPLAIN, *few(4), "study.name=whole"))
    search(config(*EXPLAIN, *few(2)))
    parts = search(config(*EXPLAIN, *few(4), "search.batch=2"))
    assert [t.values for t in parts.trials] == [t.values for t in whole.trials]
    done = parts.get_trials(states=(TrialState.COMPLETE,))
    assert [t.user_attrs["faithfulness"]["images"] for t in done] == [6] * 4
    # A recipe that comes again (here by hand) takes the figures that are there.
    setup, first = open_search(config(*EXPLAIN)), recipe_of(parts.trials[0])
    again = run_trial(setup, first, 99, ScoreCache.of(parts), Stopwatch())
    assert (again.values, again.reused, again.evaluated) == (tuple(parts.trials[0].values), 0, 0)


def test_the_task_shows_logits_and_compares_by_pruning(
    config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    task.run(config(*EXPLAIN, *few(2)))
    shown = capsys.readouterr().out
    assert "objective   faithfulness, patches of the validation images flipped" in shown
    best = best_trial(search(config(*EXPLAIN, *few(2))))
    assert f"best        trial {best.number}: {best.value:.3f} on validation" in shown
    assert "50 % of 472 filters removed" in shown


def test_beside_the_pruning_scores_of_a_study(config: MakeConfig) -> None:
    asked = config(*few(5), "objective.validation_limit=3")
    study, setup = search(asked), open_search(asked)
    frame = faithfulness_of_trials(study, setup.session)
    done = study.get_trials(states=(TrialState.COMPLETE,))
    assert frame.number.tolist() == [t.number for t in done]
    assert frame.value.tolist() == [t.value for t in done]
    by_preset = frame.set_index("preset")
    assert by_preset.faithfulness["zplus"] != by_preset.faithfulness["auto"]
    assert frame.faithfulness.between(frame.low, frame.high).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective.cost=macs"], r"objective\.cost has no effect with objective\.name=faithfulness"),
        (["objective.rates=[0.5]"], r"objective\.rates has no effect"),
        (["objective.constraints=['macs <= 0.5']"], r"objective\.constraints has no effect"),
        (["pruner=wilcoxon"], "cannot race"),
        (["space.rate=[0.3, 0.5]"], r"space\.rate has no effect"),
    ],
)
def test_what_does_not_go_with_it(config: MakeConfig, overrides: list[str], message: str) -> None:
    with pytest.raises(XaipruneError, match=message):
        open_search(config(*EXPLAIN, *overrides))
