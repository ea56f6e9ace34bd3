"""Plans that leave each layer a multiple of channels."""

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


def kept(plan: Plan) -> dict[str, int]:
    return {name: total - len(plan.removed[name]) for name, total in plan.totals.items()}


@pytest.mark.parametrize(
    ("rate", "removed"),
    [
        (0.0, {"a": (), "b": ()}),
        # Blocks by their means: a (1, 2) 1.5, b (0, 5) 2.5, a (3, 4) 3.5, which min_units keeps.
        (0.1, {"a": (1, 3), "b": ()}),
        (0.2, {"a": (1, 3), "b": ()}),
        (0.3, {"a": (1, 3), "b": (4, 5)}),
        (0.4, {"a": (1, 3), "b": (4, 5)}),
        (0.5, {"a": (1, 3), "b": (2, 3, 4, 5)}),
    ],
)
def test_pairs_by_hand(rate, removed):
    assert make_plan(SCORES, UNITS, rate, multiple=2).removed == removed


def test_the_ranking_decides_which_layer_rounds_up():
    units = [UnitLayer(name, "filters", 6, name) for name in "ab"]
    scores = {"a": torch.tensor([0.0, 1, 9, 9, 9, 9]), "b": torch.tensor([0.0, 1, 2, 9, 9, 9])}
    assert kept(make_plan(scores, units, 4 / 12)) == {"a": 4, "b": 4}  # each would lose two of three
    assert kept(make_plan(scores, units, 4 / 12, multiple=3)) == {"a": 6, "b": 3}
    assert kept(make_plan({"a": scores["b"], "b": scores["a"]}, units, 4 / 12, multiple=3)) == {
        "a": 3,
        "b": 6,
    }


def test_what_exceeds_a_multiple_leaves_first():
    unit = [UnitLayer("a", "filters", 11, "a")]
    scores = {"a": torch.arange(11.0)}
    assert [kept(make_plan(scores, unit, rate, multiple=4))["a"] for rate in (0, 0.1, 0.2, 0.5, 0.7)] == [
        *(11, 11, 8, 4, 4)
    ]


def test_a_layer_of_fewer_channels_keeps_all():
    units = [UnitLayer("a", "filters", 6, "a"), UnitLayer("b", "filters", 16, "b")]
    scores = {"a": torch.zeros(6), "b": torch.ones(16)}
    assert kept(make_plan(scores, units, 0.3, multiple=8)) == {"a": 6, "b": 8}
    assert kept(make_plan(scores, units, 0.3, multiple=8, min_units=0)) == {"a": 0, "b": 16}


def test_a_multiple_counts_channels_so_heads_leave_whole():
    units = [
        UnitLayer("wide", "heads", 6, "wide.proj", "input", -1, width=64),
        UnitLayer("odd", "heads", 6, "odd.proj", "input", -1, width=12),
        UnitLayer("mlp", "neurons", 24, "mlp", dim=-1),
    ]
    scores = {layer.name: torch.arange(float(layer.units)) for layer in units}
    for rate in (0.1, 0.25, 0.5):
        left = kept(make_plan(scores, units, rate, multiple=8))
        assert left["odd"] * 12 % 8 == left["mlp"] % 8 == 0
    assert kept(make_plan(scores, [units[0]], 1 / 6, multiple=8)) == {"wide": 5}
    assert kept(make_plan(scores, [units[1]], 1 / 6, multiple=8)) == {"odd": 4}


def test_masked_layers_may_keep_any_number():
    units = [UnitLayer("a", "filters", 8, "a", removable=False), UnitLayer("b", "filters", 8, "b")]
    scores = {"a": torch.arange(8.0), "b": torch.arange(8.0) + 0.4}
    assert kept(make_plan(scores, units, 6 / 16, multiple=4)) == {"a": 6, "b": 4}
    grouped = make_plan(scores, units, 0.5, multiple=4, groups=[("a", "b")])
    assert kept(grouped) == {"a": 4, "b": 4}


def test_a_rate_out_of_reach_names_the_multiple():
    with pytest.raises(
        XaipruneError, match=r"prune.min_units=1 and prune.multiple \(blocks of 2 units\), 4 units"
    ):
        make_plan(SCORES, UNITS, 0.8, multiple=2)
    with pytest.raises(XaipruneError, match=r"prune\.multiple=0 is out of range; it counts channels, from 1"):
        make_plan(SCORES, UNITS, 0.5, multiple=0)


def test_each_layer_for_itself_comes_as_near_as_it_can():
    plan = make_plan(SCORES, UNITS, 0.5, scope="layer", multiple=4)
    assert kept(plan) == {"a": 4, "b": 4}
    assert kept(make_plan(SCORES, UNITS, 0.8, scope="layer", multiple=4)) == {"a": 4, "b": 4}


def test_a_plan_remembers_its_multiple(tmp_path):
    plan = make_plan(SCORES, UNITS, 0.3, multiple=2)
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan
    assert "multiple" not in json.loads(make_plan(SCORES, UNITS, 0.3).to_json())


layers_of_scores = st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=40), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(
    layers_of_scores,
    st.lists(st.floats(0, 0.99), min_size=1, max_size=4),
    st.integers(0, 9),
    st.sampled_from(["global", "layer"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([2, 3, 8]),
)
def test_layers_keep_multiples_and_the_budget_holds(layers, rates, min_units, scope, priced, per, multiple):
    units = [UnitLayer(f"l{i}", "filters", len(values), f"l{i}") for i, values in enumerate(layers)]
    scores = {f"l{i}": torch.tensor(values, dtype=torch.float64) for i, values in enumerate(layers)}
    costs = {f"l{i}": torch.full((len(values),), 1.0 + 3 * i) for i, values in enumerate(layers)}
    options = {"budget": "macs" if priced else "units", "costs": costs, "scope": scope}
    prices = costs if priced else {name: torch.ones(len(values)) for name, values in scores.items()}
    scores = per_cost(scores, costs) if per else scores
    step = {layer.name: float(prices[layer.name][0]) * multiple for layer in units}
    before = {layer.name: set() for layer in units}
    for rate in sorted(rates):
        try:
            plan = make_plan(scores, units, rate, multiple=multiple, min_units=min_units, **options)
        except XaipruneError as error:
            assert "cannot be reached" in str(error)  # noqa: PT017 - only some draws are out of reach
            return
        spent = {name: float(prices[name][list(gone)].sum()) for name, gone in plan.removed.items()}
        whole = {name: float(price.sum()) for name, price in prices.items()}
        if scope == "global":
            assert abs(sum(spent.values()) - rate * sum(whole.values())) <= max(step.values())
        for layer in units:
            left = layer.units - len(plan.removed[layer.name])
            assert left % multiple == 0 or left == layer.units
            assert left >= min(min_units, layer.units)
            if scope == "layer":
                assert abs(spent[layer.name] - rate * whole[layer.name]) <= step[layer.name]
            assert before[layer.name] <= set(plan.removed[layer.name])  # nested
            before[layer.name] = set(plan.removed[layer.name])
            lowest = scores[layer.name].sort().values[: len(plan.removed[layer.name])]
            removed = scores[layer.name][list(plan.removed[layer.name])].sort().values
            assert torch.equal(removed, lowest)


@settings(max_examples=60, deadline=None)
@given(layers_of_scores, st.floats(0, 0.9), st.sampled_from(["global", "layer"]))
def test_a_multiple_of_one_is_the_plain_plan(layers, rate, scope):
    units = [UnitLayer(f"l{i}", "filters", len(values), f"l{i}") for i, values in enumerate(layers)]
    scores = {f"l{i}": torch.tensor(values, dtype=torch.float64) for i, values in enumerate(layers)}
    found = make_plan(scores, units, rate, scope=scope, min_units=0, multiple=1)
    for part in [[layer] for layer in units] if scope == "layer" else [units]:
        line = [
            (float(score), i, unit) for i, x in enumerate(part) for unit, score in enumerate(scores[x.name])
        ]
        gone = sorted(line)[: int(rate * len(line) * (1 + 1e-12) + 0.5)]
        for i, layer in enumerate(part):
            assert found.removed[layer.name] == tuple(sorted(unit for _, j, unit in gone if j == i))
