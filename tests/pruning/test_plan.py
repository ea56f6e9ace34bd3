"""Plans: how many units are removed, in which order, and what is refused."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xaiprune.errors import XaipruneError
from xaiprune.pruning import Plan, make_plan, per_cost
from xaiprune.units import UnitLayer

UNITS = [UnitLayer("a", "filters", 4, "a"), UnitLayer("b", "filters", 6, "b")]
SCORES = {"a": torch.tensor([4.0, 1, 3, 2]), "b": torch.tensor([9.0, 8, 7, 6, 5, 0])}


def test_lowest_scores_are_removed_first():
    plan = make_plan(SCORES, UNITS, 0.3)
    assert plan.removed == {"a": (1, 3), "b": (5,)}
    assert plan.n_removed == 3
    assert plan.totals == {"a": 4, "b": 6}


@pytest.mark.parametrize(("rate", "count"), [(0, 0), (0.04, 0), (0.05, 1), (0.3, 3), (0.35, 4), (0.8, 8)])
def test_counts_round_half_up(rate, count):
    assert make_plan(SCORES, UNITS, rate).n_removed == count


def test_ties_break_by_layer_then_unit():
    same = {name: torch.zeros(len(values)) for name, values in SCORES.items()}
    assert make_plan(same, UNITS, 0.2).removed == {"a": (0, 1), "b": ()}


def test_min_units_are_kept_and_others_removed_instead():
    plan = make_plan(SCORES, UNITS, 0.5, min_units=2)
    assert plan.removed == {"a": (1, 3), "b": (3, 4, 5)}


def test_layer_scope_takes_the_rate_of_each_layer():
    plan = make_plan(SCORES, UNITS, 0.5, scope="layer")
    assert plan.removed == {"a": (1, 3), "b": (3, 4, 5)}


def test_a_budget_of_costs():
    costs = {"a": torch.full((4,), 10.0), "b": torch.full((6,), 1.0)}
    plan = make_plan(SCORES, UNITS, 0.25, budget="params", costs=costs)  # 11.5 of 46
    assert plan.removed == {"a": (1,), "b": (5,)}


def test_groups_are_removed_together():
    units = [*UNITS, UnitLayer("c", "filters", 4, "c")]
    scores = {**SCORES, "c": torch.tensor([0.0, 9, 9, 9])}
    plan = make_plan(scores, units, 3 / 14, groups=[("a", "c")])
    assert plan.removed == {"a": (0,), "b": (5,), "c": (0,)}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=9), min_size=1, max_size=4),
    st.lists(st.floats(0, 0.99), min_size=2, max_size=4),
    st.integers(0, 2),
    st.sampled_from(["global", "layer"]),
    st.booleans(),
)
def test_plans_are_nested_and_keep_min_units(layers, rates, min_units, scope, priced):
    units = [UnitLayer(f"l{i}", "filters", len(values), f"l{i}") for i, values in enumerate(layers)]
    scores = {f"l{i}": torch.tensor(values, dtype=torch.float64) for i, values in enumerate(layers)}
    costs = {name: values.abs() + 1 for name, values in scores.items()}
    budget = "macs" if priced else "units"
    before = {layer.name: set() for layer in units}
    for rate in sorted(rates):
        try:
            plan = make_plan(
                scores, units, rate, min_units=min_units, scope=scope, budget=budget, costs=costs
            )
        except XaipruneError as error:
            assert "cannot be reached" in str(error)  # noqa: PT017 - only some draws are out of reach
            return
        for layer in units:
            removed = set(plan.removed[layer.name])
            assert before[layer.name] <= removed
            assert layer.units - len(removed) >= min(min_units, layer.units)
            before[layer.name] = removed


def test_json_round_trip_and_hash(tmp_path):
    plan = make_plan(SCORES, UNITS, 0.3, network="abc")
    plan.save(tmp_path / "new" / "plan.json")
    again = Plan.load(tmp_path / "new" / "plan.json")
    assert again == plan
    assert again.hash == plan.hash
    assert (
        make_plan(SCORES, UNITS, 0.31).hash == plan.hash
    )  # identifies what is removed, not how it was chosen
    assert make_plan(SCORES, UNITS, 0.4).hash != plan.hash
    assert json.loads((tmp_path / "new" / "plan.json").read_text())["schema"] == "xaiprune/plan/1"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["plan.json"]


def test_representation_is_short():
    assert repr(make_plan(SCORES, UNITS, 0.3)) == "Plan(3 of 10 filters removed, rate 0.3 of units)"


def test_summary_has_every_layer_and_the_total():
    lines = make_plan(SCORES, UNITS, 0.3).summary().splitlines()
    assert [line.split()[0] for line in lines] == ["unit", "a", "b", "all"]
    assert "7 / 10" in lines[-1]
    assert "70.0%" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1.0}, "prune.rate=1.0 is out of range"),
        ({"rate": -0.1}, "prune.rate=-0.1 is out of range"),
        ({"rate": float("nan")}, "prune.rate=nan is out of range"),
        ({"rate": 0.5, "budget": "bytes"}, "prune.budget=bytes is unknown"),
        ({"rate": 0.5, "budget": "macs"}, "needs the units' costs"),
        ({"rate": 0.5, "scope": "block"}, "prune.scope=block is unknown"),
        ({"rate": 0.5, "min_units": -1}, "prune.min_units=-1 is out of range"),
        (
            {"rate": 0.9, "min_units": 3},
            "cannot be reached: with prune.min_units=3, 6 units in 2 layers have to be kept",
        ),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(XaipruneError, match=message):
        make_plan(SCORES, UNITS, **arguments)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": torch.zeros(4)}, "no score for the unit layer b"),
        ({"a": torch.zeros(3), "b": torch.zeros(6)}, "a has 4 units, but scores of shape"),
        ({"a": torch.tensor([0, 0, float("nan"), 0]), "b": torch.zeros(6)}, "a score in a is not finite"),
    ],
)
def test_scores_that_do_not_fit(scores, message):
    with pytest.raises(XaipruneError, match=message):
        make_plan(scores, UNITS, 0.5)


def test_a_plan_for_another_network_is_refused():
    plan = make_plan(SCORES, UNITS, 0.5, network="one")
    plan.check(UNITS, "one")
    with pytest.raises(XaipruneError, match="made for the network one, this one is two"):
        plan.check(UNITS, "two")
    with pytest.raises(XaipruneError, match="unit layer a is not among"):
        plan.check(UNITS[1:])
    with pytest.raises(XaipruneError, match="has 6 units in b, this network has 9"):
        plan.check([UNITS[0], UnitLayer("b", "filters", 9, "b")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as a plan"),
        (
            '{"schema": "xaiprune/plan/2"}',
            "has schema 'xaiprune/plan/2', this version reads 'xaiprune/plan/1'",
        ),
        ("[]", "has schema None"),
        ('{"schema": "xaiprune/plan/1"}', "is not a complete plan"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(XaipruneError, match=message):
        Plan.load(path)
    with pytest.raises(XaipruneError, match="no such plan"):
        Plan.load(tmp_path / "missing.json")


def test_scores_per_cost():
    costs = {"a": torch.full((4,), 1.0), "b": torch.full((6,), 10.0)}
    found = per_cost(SCORES, costs)
    assert make_plan(found, UNITS, 0.4).removed == {"a": (), "b": (2, 3, 4, 5)}
    # Removed to a budget so, what is left keeps more relevance than by score alone.
    dear, plain = (make_plan(s, UNITS, 0.5, budget="macs", costs=costs).removed for s in (found, SCORES))
    kept = [
        sum(float(SCORES[name].sum() - SCORES[name][list(gone[name])].sum()) for name in SCORES)
        for gone in (dear, plain)
    ]
    assert kept[0] > kept[1]


def test_scores_per_cost_of_groups_divide_by_what_goes_together():
    costs = {"a": torch.full((4,), 3.0), "b": torch.full((6,), 1.0), "c": torch.full((4,), 5.0)}
    scores = {**SCORES, "c": torch.tensor([0.0, 9, 9, 9])}
    found = per_cost(scores, costs, [("a", "c")])
    assert torch.equal(found["a"] + found["c"], ((scores["a"] + scores["c"]) / 8).double())
    assert torch.equal(found["b"], scores["b"].double())
