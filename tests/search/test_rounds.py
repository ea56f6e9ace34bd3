"""Searches whose trials rank in rounds, each on the network as pruned (and compensated) so far."""

from pathlib import Path

import pytest

from tests.search.by_hand import plan_in_rounds
from tests.search.conftest import MakeConfig, few
from xaiprune.attribution.criteria import criterion
from xaiprune.comparison import rank
from xaiprune.comparison.evaluator import TestEvaluator
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS
from xaiprune.study import open_search, search
from xaiprune.trial import ScoreCache, Stopwatch, run_trial


@pytest.mark.parametrize("method", ["none", "linear"])
def test_a_trial_ranks_the_network_pruned_so_far(config: MakeConfig, method: str) -> None:
    settings = ("prune.rate=0.6", f"prune.compensate={method}", "units=neurons")
    setup = open_search(config(*settings, "prune.rounds=3", model="digits_vit"))
    recipe = PRESETS["taylor"]
    (relevance,) = setup.session.relevances([recipe])
    scores = recipe.scores(relevance, setup.session.units, setup.session.layers)
    expected = plan_in_rounds(setup, setup.session.ranker(recipe), method, 3)
    assert setup.session.plan(scores, 0.6, rerank=setup.session.ranker(recipe)) == expected
    # Something is at stake: ranked once, others go.
    assert setup.session.plan(scores, 0.6).removed != expected.removed
    found = run_trial(setup, recipe, 0, ScoreCache(), Stopwatch())
    assert found.values == (setup.session.accuracy(setup.session.pruned(expected)).top1,)
    assert [score.plan for _, score in found.scores] == [setup.session.plan_key(expected)]
    once = open_search(config(*settings, model="digits_vit"))
    assert run_trial(once, recipe, 0, ScoreCache(), Stopwatch()).scores[0][1].plan != setup.session.plan_key(
        expected
    )


def test_rounds_are_part_of_a_study(config: MakeConfig) -> None:
    settings = ("prune.rate=0.6", "units=neurons", *few(2))
    search(config(*settings, "prune.rounds=2", model="digits_vit"))
    with pytest.raises(XaipruneError, match=r"prune\.rounds was 2, now unset"):
        search(config(*settings, model="digits_vit"))


def test_the_comparison_ranks_everybody_in_rounds(config: MakeConfig, tmp_path: Path) -> None:
    setup = open_search(config("prune.rate=0.6", "prune.rounds=3", "units=neurons", model="digits_vit"))
    best = PRESETS["epsilon"]
    methods, _ = rank(setup.session, "best found", best, [], ["taylor"], 1)
    by_name = {method.name: method for method in methods}
    evaluator = TestEvaluator(setup.session, tmp_path)

    def taylor(model):
        reference = setup.session.dataset.reference
        return criterion("taylor")(
            model, setup.session.reference_images, reference.labels, setup.session.units, setup.session.task
        )

    for name, again in (("best found", setup.session.ranker(best)), ("taylor", taylor)):
        assert evaluator.figures(by_name[name], 0.6) == evaluator.figures_of(
            plan_in_rounds(setup, again, "none", 3)
        )
    assert by_name["random"].rerank is None  # chance is the same in every round


def test_rounds_say_nothing_where_no_trial_prunes(config: MakeConfig) -> None:
    with pytest.raises(XaipruneError, match=r"prune\.rounds has no effect with objective=faithfulness"):
        open_search(config("objective=faithfulness", "prune.rounds=3"))
