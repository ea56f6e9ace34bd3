"""Searches whose trials rank in rounds, each on the network as pruned (and compensated) so far."""

from pathlib import Path

import pytest

from tests.search.conftest import MakeConfig
from xaiprune.attribution.criteria import criterion
from xaiprune.comparison.evaluator import TestEvaluator
from xaiprune.comparison.methods import PRESETS, rank
from xaiprune.errors import XaipruneError
from xaiprune.pruning import Plan, Rank, compensate, iterative_plan
from xaiprune.recipe.ranking import scores_of
from xaiprune.session import Context
from xaiprune.study import open_context, search
from xaiprune.trial.cache import ScoreCache
from xaiprune.trial.run import Stopwatch, run


def by_hand(context: Context, rerank: Rank, method: str = "none") -> Plan:
    """Three rounds with the pruning room's own functions."""
    size = context.config.data.batch_size
    return iterative_plan(
        context.model,
        context.units,
        0.6,
        again,
        3,
        lambda plan: compensate(
            context.model, plan, context.units, context.reference_images, method, batch_size=size
        ),
        network=context.network,
    )


@pytest.mark.parametrize("method", ["none", "linear"])
def test_a_trial_ranks_the_network_pruned_so_far(config: MakeConfig, method: str) -> None:
    settings = ("prune.rate=0.6", f"prune.compensate={method}", "units=neurons")
    context = open_context(config(*settings, "prune.rounds=3", model="digits_vit"))
    recipe = PRESETS["taylor"]
    (relevance,) = context.relevances([recipe])
    scores = scores_of(relevance, recipe, context.units, context.layers)
    expected = by_hand(context, context.ranker(recipe), method)
    assert context.plan(scores, 0.6, rerank=context.ranker(recipe)) == expected
    # Something is at stake: ranked once, others go.
    assert context.plan(scores, 0.6).removed != expected.removed
    found = run(context, recipe, 0, ScoreCache(), Stopwatch())
    assert found.values == (context.accuracy(context.pruned(expected)).top1,)
    assert [score.plan for _, score in found.scores] == [context.plan_key(expected)]
    once = open_context(config(*settings, model="digits_vit"))
    assert run(once, recipe, 0, ScoreCache(), Stopwatch()).scores[0][1].plan != context.plan_key(expected)


def test_rounds_are_part_of_a_study(config: MakeConfig) -> None:
    settings = ("prune.rate=0.6", "units=neurons", "study.n_trials=2")
    search(config(*settings, "prune.rounds=2", model="digits_vit"))
    with pytest.raises(XaipruneError, match=r"prune\.rounds was 2, now unset"):
        search(config(*settings, model="digits_vit"))


def test_the_comparison_ranks_everybody_in_rounds(config: MakeConfig, tmp_path: Path) -> None:
    context = open_context(config("prune.rate=0.6", "prune.rounds=3", "units=neurons", model="digits_vit"))
    best = PRESETS["epsilon"]
    methods, _ = rank(context, "best found", best, [], ["taylor"], 1)
    by_name = {method.name: method for method in methods}
    evaluator = TestEvaluator(context, tmp_path)

    def taylor(model):
        reference = context.dataset.reference
        return criterion("taylor")(
            model, context.reference_images, reference.labels, context.units, context.task
        )

    for name, again in (("best found", context.ranker(best)), ("taylor", taylor)):
        assert evaluator.figures(by_name[name], 0.6) == evaluator.figures_of(by_hand(context, again))
    assert by_name["random"].rerank is None  # chance is the same in every round


def test_rounds_say_nothing_where_no_trial_prunes(config: MakeConfig) -> None:
    with pytest.raises(XaipruneError, match=r"prune\.rounds says nothing with objective=faithfulness"):
        open_context(config("objective=faithfulness", "prune.rounds=3"))
