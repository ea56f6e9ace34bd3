"""The joint order follows the equations in its docstring, and removal by it loses less."""

import pytest
import torch
from torch import nn

from tests.pruning.networks import IDS, NETWORKS, build
from xaiprune.errors import XaipruneError
from xaiprune.pruning import (
    JointOrder,
    compensate,
    iterative_plan,
    joint_rank,
    make_plan,
    masked,
    statistics_of,
)
from xaiprune.pruning.statistics.inputs import ConsumerInputs
from xaiprune.pruning.statistics.moments import Moments, Statistics
from xaiprune.units import UnitLayer, find_units

# (Equal scores would not show an order.)
EVEN = torch.linspace(1, 1.001, 12, dtype=torch.float64)


def mlp(neurons=12):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, neurons), nn.Tanh(), nn.Linear(neurons, 4)).eval()


@pytest.fixture
def images():
    return torch.randn(60, 3, 2, 2, generator=torch.Generator().manual_seed(1))


def neurons(model, images):
    return find_units(model, "linear_outputs", include=["1"], example=images[:1])


def order_of(model, images, scores, method):
    units = neurons(model, images)
    joint = JointOrder.of(model, units, statistics_of(model, units, images), method)
    return joint.scores({"1": scores})["1"].argsort().tolist()


def seen(model, images):
    """What the consumer reads, and how much each image counts, as the statistics have it."""
    statistics = statistics_of(model, neurons(model, images), images)
    (moments,) = (statistics.fit[name] + statistics.held_out[name] for name in statistics.inputs)
    return moments


def uncompensated_error(model, images):
    """Removed units -> the consumer's error, by the definition."""
    moments, weight = seen(model, images), model[3].weight.detach().double()
    second = moments.xy / moments.n

    def error(removed):
        own = weight[:, removed]
        return float(torch.trace(own @ second[removed][:, removed] @ own.T))

    return error


def compensated_error(model, images):
    """Removed units -> the part of the consumer's error that the kept cannot predict, by least squares."""
    moments, weight = seen(model, images), model[3].weight.detach().double()
    mean = moments.x / moments.n
    second = moments.xy / moments.n - torch.outer(mean, mean)
    second += 1e-3 * second.diagonal().mean() * torch.eye(12)

    def error(removed):
        kept = [unit for unit in range(12) if unit not in removed]
        rest = second[removed][:, removed]
        if kept:
            across = second[removed][:, kept]
            rest = rest - across @ torch.linalg.solve(second[kept][:, kept], across.T)
        return float(torch.trace(weight[:, removed] @ rest @ weight[:, removed].T))

    return error


def test_without_compensation_the_removed_contributions_add_up_to_little(images) -> None:
    model, scores = mlp(), torch.rand(12, dtype=torch.float64) + 0.1
    error, removed = uncompensated_error(model, images), []
    while len(removed) < 12:  # by the definition, each candidate's error from scratch
        rest = [unit for unit in range(12) if unit not in removed]
        added = {unit: error([*removed, unit]) - error(removed) for unit in rest}
        cost = {u: a * float(scores[u]) if a >= 0 else a / float(scores[u]) for u, a in added.items()}
        removed.append(min(rest, key=cost.get))
    assert order_of(model, images, scores, "none") == removed
    assert removed != scores.argsort().tolist()


def test_units_that_cancel_out_are_removed_together(images) -> None:
    model = mlp()
    with torch.no_grad():
        model[1].weight[7], model[1].bias[7] = model[1].weight[2], model[1].bias[2]
        model[3].weight[:, 2] *= 10
        model[3].weight[:, 7] = -model[3].weight[:, 2]
    order = order_of(model, images, EVEN, "none")
    assert abs(order.index(2) - order.index(7)) == 1


def test_with_mean_a_constant_costs_nothing(images) -> None:
    model = mlp()
    with torch.no_grad():
        model[1].weight[5], model[1].bias[5] = 0, 3
    assert order_of(model, images, EVEN, "mean")[0] == 5
    assert order_of(model, images, EVEN, "none")[0] != 5


def test_with_linear_what_the_kept_units_cannot_predict_counts(images) -> None:
    model, scores = mlp(), torch.rand(12, dtype=torch.float64) + 0.1
    error, removed = compensated_error(model, images), []
    while len(removed) < 12:  # least squares from scratch for each candidate
        rest = [unit for unit in range(12) if unit not in removed]
        removed.append(min(rest, key=lambda u: float(scores[u]) * (error([*removed, u]) - error(removed))))
    assert order_of(model, images, scores, "linear") == removed
    assert removed != scores.argsort().tolist()


@pytest.mark.parametrize(
    ("method", "error_of"), [("none", uncompensated_error), ("linear", compensated_error)]
)
def test_by_error_a_layers_relevance_is_divided_by_what_each_unit_adds(images, method, error_of) -> None:
    model, scores = mlp(), torch.rand(12, dtype=torch.float64) + 0.1
    units, error = neurons(model, images), error_of(model, images)
    joint = JointOrder.of(model, units, statistics_of(model, units, images), method)
    found = joint.scores({"1": scores}, "error")["1"]
    order = joint.scores({"1": scores})["1"].argsort().tolist()
    added = [error(order[: place + 1]) - error(order[:place]) for place in range(12)]
    highest = [max(0.0, *added[: place + 1]) for place in range(12)]
    expected = torch.tensor(highest, dtype=torch.float64) / sum(highest) * scores.sum()
    torch.testing.assert_close(found[order], expected)
    assert not torch.allclose(expected, scores.sort().values, rtol=0.1)


def test_by_error_a_layer_that_nothing_can_replace_is_not_emptied() -> None:
    """The second of two layers has copies of one unit, and the higher scores."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 4)
    )
    with torch.no_grad():
        model[3].weight[1:], model[3].bias[1:] = model[3].weight[0], model[3].bias[0]
    images = torch.randn(60, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    units = find_units(model.eval(), "linear_outputs", include=["1", "3"], example=images[:1])
    joint = JointOrder.of(model, units, statistics_of(model, units, images), "linear")
    scores = {"1": torch.linspace(0.5, 0.6, 12).double(), "3": torch.linspace(1, 1.1, 12).double()}
    removed = {
        order: make_plan(joint.scores(scores, order), units, 11 / 24).removed for order in ("joint", "error")
    }
    assert len(removed["joint"]["1"]) == 11
    assert len(removed["error"]["3"]) >= 10


@pytest.mark.parametrize("method", ["none", "linear"])
def test_less_is_lost(images, method) -> None:
    model, scores = mlp(48), torch.rand(48, dtype=torch.float64) + 0.5
    units, lost = neurons(model, images), {}
    for name, ranked in (
        ("score", {"1": scores}),
        (
            "joint",
            JointOrder.of(model, units, statistics_of(model, units, images), method).scores({"1": scores}),
        ),
    ):
        plan = make_plan(ranked, units, 0.5)
        smaller = compensate(model, plan, units, images, method)
        with torch.no_grad(), masked(smaller, plan, units):
            lost[name] = float((smaller(images) - model(images)).square().mean())
    assert lost["joint"] < 0.7 * lost["score"]


def test_a_layer_loses_as_many_units_as_its_scores_say(images) -> None:
    model = build("timm", "vgg11_bn", {"mlp_ratio": 0.05})
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    units = find_units(model, "filters", example=images[:1])
    generator = torch.Generator().manual_seed(0)
    scores = {layer.name: torch.randn(layer.units, generator=generator).double() for layer in units}
    joint = JointOrder.of(model, units, statistics_of(model, units, images), "none").scores(scores)
    before, after = make_plan(scores, units, 0.4), make_plan(joint, units, 0.4)
    assert {n: len(r) for n, r in before.removed.items()} == {n: len(r) for n, r in after.removed.items()}
    assert all(before.removed[layer.name] != after.removed[layer.name] for layer in units)


# (The others have layers of thousands of units, for which linear compensation takes long.)
SMALL = ("resnet18", "resnext50_32x4d", "regnety_002", "convnext_atto", "swin_tiny", "vit_tiny", "cait_xxs24")


@pytest.mark.parametrize(("library", "name", "arguments", "side", "kind"), NETWORKS, ids=IDS)
def test_every_network_has_a_joint_order(library, name, arguments, side, kind) -> None:
    method = "linear" if name.startswith(SMALL) else "mean"
    model = build(library, name, arguments)
    images = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    units = find_units(model, kind, example=images[:1])
    statistics = statistics_of(model, units, images)
    joint = JointOrder.of(model, units, statistics, method)
    read = {owner[0] for inputs in statistics.inputs.values() for owner in inputs.unit if owner}
    assert set(joint.losses) == read
    generator = torch.Generator().manual_seed(0)
    scores = {layer.name: torch.rand(layer.units, generator=generator).double() for layer in units}
    for layer, values in joint.scores(scores).items():
        assert torch.equal(values.sort().values, scores[layer].sort().values)
        if layer not in read:
            assert torch.equal(values, scores[layer])


def test_in_rounds_removed_units_stay_removed(images) -> None:
    model = mlp()
    units = neurons(model, images)
    joint = JointOrder.of(model, units, statistics_of(model, units, images), "none")

    def rank(network):
        with torch.no_grad():
            return {"1": network[:3](images).abs().mean(0).double()}

    plan = iterative_plan(model, units, 0.5, joint_rank(rank, joint), 3)
    first = make_plan(joint_rank(rank, joint)(model), units, 0.5 / 3)
    assert set(first.removed["1"]) <= set(plan.removed["1"])
    assert plan.n_removed == 6


def test_units_without_readers_of_their_own_have_no_joint_order() -> None:
    layer = UnitLayer("maker", "filters", 2, tap="maker", removable=False)
    with pytest.raises(XaipruneError, match="no unit layer has consumers of its own"):
        JointOrder.of(nn.Identity(), [layer], Statistics({}), "linear")


@pytest.mark.parametrize("method", ["none", "linear"])
def test_numbers_that_are_not_finite_are_named(images, method) -> None:
    model = mlp()
    with torch.no_grad():
        model[1].bias[3] = torch.nan
    units = neurons(model, images)
    with pytest.raises(XaipruneError, match="what 3 reads is not finite on the reference images"):
        JointOrder.of(model, units, statistics_of(model, units, images), method)


def test_a_consumer_that_reads_units_unevenly_is_named() -> None:
    inputs = ConsumerInputs("reader", 3, 1, (("maker", 0), ("maker", 0), ("maker", 1)), padded=False)
    layer = UnitLayer("maker", "filters", 2, tap="maker")
    model = nn.ModuleDict({"reader": nn.Linear(3, 1)})
    moments = Moments.of(torch.randn(9, 3), torch.ones(9))
    with pytest.raises(XaipruneError, match=r"prune\.order=joint: reader reads some units of maker"):
        JointOrder.of(model, [layer], Statistics({"reader": inputs}, {"reader": moments}), "none")


@pytest.mark.parametrize("method", ["none", "mean", "linear"])
def test_ranks_are_the_order_of_equal_scores(images, method) -> None:
    """Thinet's greedy choice, by its definition: each time the unit whose removal costs least."""
    model = mlp()
    joint = JointOrder.of(
        model, neurons(model, images), statistics_of(model, neurons(model, images), images), method
    )
    order = joint.ranks()["1"].argsort().tolist()
    assert sorted(order) == list(range(12))
    assert order == order_of(model, images, EVEN.clone().fill_(1.0) + 1e-12 * torch.arange(12), method)
    if method == "none":
        moments, weight = seen(model, images), model[3].weight.detach().double()
        second = moments.xy / moments.n
        removed = []
        while len(removed) < 12:
            rest = [unit for unit in range(12) if unit not in removed]
            cost = {}
            for unit in rest:
                out = [*removed, unit]
                cost[unit] = float(torch.trace(weight[:, out] @ second[out][:, out] @ weight[:, out].T))
            removed.append(min(rest, key=cost.get))
        assert order == removed
