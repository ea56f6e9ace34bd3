"""The joint order follows the equations in its docstring, and removal by it loses less."""

import pytest
import torch
from torch import nn

from tests.pruning.networks import IDS, NETWORKS, build
from xaiprune.errors import XaipruneError
from xaiprune.pruning import (
    JointOrder,
    compensate,
    divergences,
    iterative_plan,
    make_plan,
    masked,
    statistics_of,
)
from xaiprune.pruning.joint import _divided
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
def test_by_error_a_unit_is_worth_what_it_adds_to_the_divergence(images, method, error_of) -> None:
    model, scores = mlp(), torch.rand(12, dtype=torch.float64) + 0.1
    units, error = neurons(model, images), error_of(model, images)
    joint = JointOrder.of(model, units, statistics_of(model, units, images), method)
    found = joint.errors({"1": scores}, {"1": [(4, 0.5), (9, 4.0)]})["1"]
    order = joint.scores({"1": scores})["1"].argsort().tolist()
    added = [error(order[: place + 1]) - error(order[:place]) for place in range(12)]
    highest = [max(0.0, *added[: place + 1]) for place in range(12)]
    expected = [0.5 * e / sum(highest[:4]) for e in highest[:4]]
    expected += [3.5 * e / sum(highest[4:9]) for e in highest[4:]]
    rising = [max(expected[: place + 1]) for place in range(12)]
    torch.testing.assert_close(found[order], torch.tensor(rising, dtype=torch.float64))


def test_where_errors_are_zero_a_divergence_is_divided_evenly() -> None:
    errors = torch.tensor([0, 0, 0, 0, 2, 3], dtype=torch.float64)
    even = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.1, 0.1], dtype=torch.float64)
    torch.testing.assert_close(_divided([(4, 0.4)], errors), even)
    noise = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.4, 0.6], dtype=torch.float64)  # the second falls: noise
    torch.testing.assert_close(_divided([(2, 0.2), (4, 0.1), (6, 1.2)], errors), noise)


def test_an_order_is_found_once_for_all_factors_of_a_layer(images, monkeypatch) -> None:
    model, scores = mlp(), torch.rand(12, dtype=torch.float64) + 0.1
    units = neurons(model, images)
    joint = JointOrder.of(model, units, statistics_of(model, units, images), "linear")
    found, whole = [], type(joint.losses["1"]).removal
    monkeypatch.setattr(
        type(joint.losses["1"]), "removal", lambda self, given: found.append(1) or whole(self, given)
    )
    first, second = joint.scores({"1": scores}), joint.scores({"1": 7 * scores})
    torch.testing.assert_close(second["1"], 7 * first["1"])
    assert len(found) == 1
    assert not torch.equal(joint.scores({"1": scores.flip(0)})["1"], first["1"])
    assert len(found) == 2


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 4)
    ).eval()


def test_by_error_a_layer_that_nothing_can_replace_is_not_emptied() -> None:
    """The second of two layers has copies of one unit, and the higher scores."""
    model = two_layers()
    with torch.no_grad():
        model[3].weight[1:], model[3].bias[1:] = model[3].weight[0], model[3].bias[0]
    images = torch.randn(60, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    units = find_units(model, "linear_outputs", include=["1", "3"], example=images[:1])
    statistics = statistics_of(model, units, images)
    joint = JointOrder.of(model, units, statistics, "linear")
    scores = {"1": torch.linspace(0.5, 0.6, 12).double(), "3": torch.linspace(1, 1.1, 12).double()}
    measured = divergences(model, units, images, joint, statistics, "linear")
    removed = {
        "joint": make_plan(joint.scores(scores), units, 11 / 24).removed,
        "error": make_plan(joint.errors(scores, measured), units, 11 / 24).removed,
    }
    assert len(removed["joint"]["1"]) == 11
    assert len(removed["error"]["3"]) >= 10


@pytest.mark.parametrize("method", ["none", "mean", "linear"])
def test_a_divergence_is_that_of_the_shortened_networks_answers(method) -> None:
    model = two_layers()
    images = torch.randn(130, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    units = find_units(model, "linear_outputs", include=["1", "3"], example=images[:1])
    statistics = statistics_of(model, units, images)
    joint = JointOrder.of(model, units, statistics, method)
    three = {"select": lambda logits: logits[:, :3]}
    found = divergences(model, units, images, joint, statistics, method, **three)
    assert set(found) == {"1", "3"}
    assert [count for count, _ in found["1"]] == [5, 10]
    order, _ = joint.removal("1")
    for count, divergence in found["1"]:
        plan = {"1": order[:count].tolist()}
        smaller = compensate(model, plan, units, images, method, sequential=False)
        with torch.no_grad(), masked(smaller, plan, units):
            q = smaller(images[:128:2])[:, :3].double().log_softmax(1)
            p = model(images[:128:2])[:, :3].double().log_softmax(1)
        assert divergence == pytest.approx(float((p.exp() * (p - q)).sum(1).mean()), rel=1e-4)


def test_with_batchnorm_recalibrated_both_networks_are() -> None:
    """Where BatchNorm follows what is removed, rescaling its input is no error."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 1, 1, bias=False), nn.BatchNorm2d(1)),
        *(nn.Flatten(), nn.Linear(4, 4)),
    ).eval()
    with torch.no_grad():  # all channels of the first convolution are one, several times
        model[0].weight.copy_(model[0].weight[:1].expand(6, -1, -1, -1))
        model[0].bias.copy_(model[0].bias[:1].expand(6))
        model[2].weight.fill_(0.2)
    images = torch.randn(64, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    units = find_units(model, "filters", include=["0"], example=images[:1])
    statistics = statistics_of(model, units, images)
    joint = JointOrder.of(model, units, statistics, "none")
    kept, recalibrated = (
        divergences(model, units, images, joint, statistics, "none", bn=bn)["0"]
        for bn in ("keep", "recalibrate")
    )
    assert all(own < 0.01 * other for (_, own), (_, other) in zip(recalibrated, kept, strict=True))
    # Never one image alone: it has no statistics.
    divergences(model, units, images[:3], joint, statistics, "none", bn="recalibrate", batch_size=1)
    assert float(model[3].running_mean) == 0
    assert float(model[3].num_batches_tracked) == 0
    assert not model[3].training


def test_a_layer_that_the_answers_do_not_notice_has_no_divergence() -> None:
    model = two_layers()
    with torch.no_grad():
        model[5].weight.zero_()
    images = torch.randn(60, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    units = find_units(model, "linear_outputs", include=["1"], example=images[:1])
    statistics = statistics_of(model, units, images)
    joint = JointOrder.of(model, units, statistics, "none")
    found = divergences(model, units, images, joint, statistics, "none")
    assert {divergence for _, divergence in found["1"]} == {0.0}


def test_logits_that_are_not_finite_name_the_layer() -> None:
    model = two_layers()
    images = torch.randn(60, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    units = find_units(model, "linear_outputs", include=["1"], example=images[:1])
    statistics = statistics_of(model, units, images)
    joint = JointOrder.of(model, units, statistics, "none")
    with torch.no_grad():
        model[5].bias[0] = torch.nan
    with pytest.raises(XaipruneError, match="without 5 units of 1 the logits are not finite; set prune"):
        divergences(model, units, images, joint, statistics, "none")


def test_units_that_are_only_masked_have_no_place_in_the_order_by_error() -> None:
    joint = JointOrder({})
    with pytest.raises(XaipruneError, match=r"order=error: the units of 1 have no consumers of their own"):
        joint.errors({"1": torch.ones(3)}, {})


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

    plan = iterative_plan(model, units, 0.5, lambda network: joint.scores(rank(network)), 3)
    first = make_plan(joint.scores(rank(model)), units, 0.5 / 3)
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
