"""Searches whose units leave in the joint order (``prune.order=joint``)."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import optuna
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState

from tests.search.by_hand import plan_in_rounds
from tests.search.conftest import MakeConfig, few
from xaiprune.cli.common.search_display import setup_text
from xaiprune.comparison import Method, rank
from xaiprune.comparison.evaluator import TestEvaluator
from xaiprune.comparison.run import compare_on_test
from xaiprune.errors import XaipruneError
from xaiprune.pruning import JointOrder, Plan, statistics_of
from xaiprune.recipe import PRESETS, Recipe
from xaiprune.session import PruningSession
from xaiprune.study import open_search, open_study, search
from xaiprune.trial import ScoreCache, SearchSetup, Stopwatch, run_trial

SETTINGS = ("prune.rate=0.6", "units=neurons")
TAYLOR = PRESETS["taylor"]


def scores(setup: SearchSetup, recipe: Recipe = TAYLOR):
    (relevance,) = setup.session.relevances([recipe])
    return recipe.scores(relevance, setup.session.units, setup.session.layers)


def by_hand(setup: SearchSetup, recipe: Recipe, method: str, steps: int) -> Plan:
    """With the pruning package's own functions."""
    size = setup.config.data.batch_size
    statistics = statistics_of(setup.session.model, setup.session.units, setup.session.reference_images, size)
    joint = JointOrder.of(setup.session.model, setup.session.units, statistics, method)
    rank = setup.session.ranker(recipe)
    return plan_in_rounds(setup, lambda network: joint.scores(rank(network)), method, steps)


@pytest.mark.parametrize(("method", "steps"), [("none", 1), ("mean", 1), ("linear", 1), ("linear", 3)])
def test_a_trial_takes_units_in_the_joint_order(config: MakeConfig, method: str, steps: int) -> None:
    settings = (*SETTINGS, f"prune.compensate={method}", f"prune.rounds={steps}")
    setup = open_search(config(*settings, "prune.order=joint", model="digits_vit"))
    expected = by_hand(setup, TAYLOR, method, steps)
    assert setup.session.plan_for(TAYLOR, 0.6, scores(setup)) == expected
    found = run_trial(setup, TAYLOR, 0, ScoreCache(), Stopwatch())
    assert found.values == (setup.session.accuracy(setup.session.pruned(expected)).top1,)
    assert [score.plan for _, score in found.scores] == [setup.session.plan_key(expected)]
    # Something is at stake: by score, others go.
    plain = open_search(config(*settings, model="digits_vit"))
    assert plain.session.plan_for(TAYLOR, 0.6, scores(plain)).removed != expected.removed


def test_a_curve_orders_once(config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = open_search(config(*SETTINGS, "prune.order=joint", model="digits_vit"))
    ordered: list[int] = []
    whole = JointOrder.scores
    monkeypatch.setattr(JointOrder, "scores", lambda self, *given: ordered.append(1) or whole(self, *given))
    own = scores(setup)
    plans = [setup.session.plan(own, rate) for rate in (0.2, 0.4, 0.6)]
    assert len(ordered) == 1
    assert all(
        set(fewer.removed[name]) <= set(more.removed[name])
        for fewer, more in pairwise(plans)
        for name in fewer.removed
    )
    other = {name: values.flip(0) for name, values in own.items()}
    assert setup.session.plan(other, 0.6).removed != plans[-1].removed  # not the last one's order again
    assert setup.session.with_prune(compensate="linear").plan(own, 0.6).removed != plans[-1].removed
    assert setup.session.with_prune(order="error").plan(own, 0.6).removed != plans[-1].removed


def test_the_order_is_part_of_a_study(config: MakeConfig) -> None:
    search(config(*SETTINGS, *few(2), "prune.order=joint", model="digits_vit"))
    with pytest.raises(XaipruneError, match=r"prune\.order was joint, now unset"):
        search(config(*SETTINGS, *few(2), model="digits_vit"))


def queued_in(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(states=(TrialState.WAITING,))


def test_presets_are_tried_with_signed_sums_too(config: MakeConfig) -> None:
    joint = (*SETTINGS, "prune.order=joint")
    for name, settings, expected in (
        ("score", SETTINGS, False),
        ("joint", joint, True),
        ("unsigned", (*joint, "space.aggregate=[abs_of_sum]"), False),  # they are no points of this space
    ):
        study = open_study(open_search(config(*settings, f"study.name={name}", model="digits_vit")))
        queued = {t.user_attrs["preset"]: t.system_attrs["fixed_params"] for t in queued_in(study)}
        assert "epsilon" in queued
        assert ("epsilon, signed" in queued) is expected
        assert "taylor, signed" not in queued
    search(config(*joint, "study.name=joint", *few(2), "study.timeout=0.1", model="digits_vit"))
    reopened = open_study(open_search(config(*joint, "study.name=joint", model="digits_vit")))
    again = [t.user_attrs["preset"] for t in queued_in(reopened)]
    assert len(again) == len(set(again))  # what is queued is not queued again


def test_a_search_says_how_units_are_picked(config: MakeConfig) -> None:
    plain = (*SETTINGS, *few(1), "prune.sequential=false")
    made = ("prune.order=joint", "prune.rounds=2", "prune.compensate=linear", "study.name=other")
    for settings, expected in (
        (plain, "rate 0.6 of units, global ranking\n"),
        ((*plain, *made), "rate 0.6 of units, global ranking, joint order, 2 rounds, linear compensation\n"),
    ):
        asked = config(*settings, model="digits_vit")
        assert expected in setup_text(open_search(asked), None, search(asked), "sqlite:///studies.db")


def test_a_trial_may_choose_the_order(config: MakeConfig, tmp_path: Path) -> None:
    presets_only = ("study.n_trials=0", "study.presets=[auto,taylor,epsilon]")
    settings = (*SETTINGS, "+space.order=[score,joint]", *presets_only)
    study = search(config(*settings, model="digits_vit"))
    plain = open_search(config(*SETTINGS, model="digits_vit"))
    jointly = open_search(config(*SETTINGS, "prune.order=joint", model="digits_vit"))
    presets = {t.user_attrs["preset"]: t for t in study.trials if "preset" in t.user_attrs}
    assert list(presets)[:2] == ["auto", "taylor, joint"]  # never below Taylor in either order
    for name, setup in (("auto", plain), ("taylor, joint", jointly)):
        expected = setup.session.plan_for(TAYLOR, 0.6, scores(setup))
        assert presets[name].user_attrs["scores"][0]["plan"] == setup.session.plan_key(expected)
    assert presets["taylor, joint"].params["order"] == "joint"
    signed = presets["epsilon"].params | {"aggregate": "signed", "order": "joint"}
    assert presets["epsilon, signed"].params == signed
    # The comparison takes the best one's units as its trial did, and the others' as configured.
    best = replace(TAYLOR, order="joint")
    ours, theirs = rank(plain.session, "best found", best, [], ["taylor"], 0)[0]
    evaluator = TestEvaluator(plain.session, tmp_path)
    assert evaluator.figures(ours, 0.6) == evaluator.figures_of(
        jointly.session.plan_for(TAYLOR, 0.6, scores(jointly))
    )
    assert evaluator.figures(theirs, 0.6) == evaluator.figures_of(
        plain.session.plan_for(TAYLOR, 0.6, scores(plain))
    )
    with pytest.raises(XaipruneError, match="recipe: order must be one of score, joint, error, got 'random'"):
        replace(TAYLOR, order="random")
    with pytest.raises(XaipruneError, match=r"space\.order.*joint"):
        open_search(config(*SETTINGS, "+space.order=[score,random]", model="digits_vit"))


def test_the_comparison_takes_everybodys_units_so(config: MakeConfig, tmp_path: Path) -> None:
    setup = open_search(config(*SETTINGS, "prune.order=joint", model="digits_vit"))
    plain = open_search(config(*SETTINGS, model="digits_vit"))
    best = PRESETS["epsilon"]
    methods, _ = rank(setup.session, "best found", best, [], ["taylor"], 1)

    def plan(setup: SearchSetup, method: Method) -> Plan:
        return setup.session.plan(method.scores, 0.6, rerank=method.rerank)

    evaluator = TestEvaluator(setup.session, tmp_path)
    for method in methods:
        assert plan(setup, method).removed != plan(plain, method).removed, method.name
        assert evaluator.figures(method, 0.6) == evaluator.figures_of(plan(setup, method))
    assert plan(setup, methods[0]) == by_hand(setup, best, "none", 1)
    assert torch.equal(methods[0].scores["blocks.0.mlp.fc1"], scores(setup, best)["blocks.0.mlp.fc1"])


def test_a_comparison_in_another_order_is_another_one(
    config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def counted(session: PruningSession, *rest):
        asked.append(session.prune.order)
        return rank(session, *rest)

    monkeypatch.setattr("xaiprune.comparison.run.rank", counted)
    for order in ("score", "score", "joint", "joint", "error", "error"):
        setup = open_search(config(*SETTINGS, f"prune.order={order}", model="digits_vit"))
        compare_on_test(setup.session, TAYLOR, tmp_path, presets=[], criteria=[], seeds=1, rates=(0.0, 0.6))
    assert asked == ["score", "joint", "error"]


def test_the_order_says_nothing_where_no_trial_prunes(config: MakeConfig) -> None:
    with pytest.raises(XaipruneError, match=r"prune\.order has no effect with objective=faithfulness"):
        open_search(config("objective=faithfulness", "prune.order=joint"))
