"""Units' relevance from batches of reference images, and the scores made of it."""

from __future__ import annotations

import pytest
import torch

from xaiprune.attribution import Aggregation, Relevance, aggregate, attribute, criterion
from xaiprune.attribution.lrp import AlphaBeta, Composite, Epsilon, Gamma, ZPlus, relevance_at
from xaiprune.recipe import PRESETS
from xaiprune.testing.small_networks import (
    NETWORKS,
    RESNET_UNITS,
    FirstThree,
    images_and_labels,
    small_resnet,
)

every_network = pytest.mark.parametrize("network", list(NETWORKS))
every_preset = pytest.mark.parametrize("preset", list(PRESETS))
COMPOSITES = [Composite(rule) for rule in (Epsilon(), Gamma(), ZPlus(), AlphaBeta())]


def assert_same(first: Relevance, second: Relevance, rtol: float = 1e-5) -> None:
    for mine, theirs in ((first.sums, second.sums), (first.abs_sums, second.abs_sums)):
        assert list(mine) == list(theirs)
        for key in mine:
            scale = float(theirs[key].abs().max())
            torch.testing.assert_close(mine[key] / scale, theirs[key] / scale, rtol=rtol, atol=rtol)
    torch.testing.assert_close(first.confidence, second.confidence)


def test_units_sum_relevance_over_space_tokens_and_channels() -> None:
    for build, units in NETWORKS.values():
        model = build().double()
        images, labels = images_and_labels()
        images = images.double()
        initial = torch.eye(5, dtype=torch.float64)[labels]
        found = attribute(model, images, labels, units, Composite(Gamma(0.25)), start="logit")
        for unit in units:
            at_tap = relevance_at(
                model, images, initial, Composite(Gamma(0.25)), [unit.tap], where=unit.where
            )
            full = at_tap[unit.tap]
            channels = full.movedim(unit.dim, -1).flatten(1, -2).unflatten(-1, (unit.units, unit.width))
            expected = channels.sum((1, 3)), channels.abs().sum((1, 3))
            for actual, wanted in zip((found.sums, found.abs_sums), expected, strict=True):
                torch.testing.assert_close(actual[unit.name].double(), wanted, rtol=1e-5, atol=1e-6)


@every_network
def test_composites_that_share_a_forward_get_what_they_get_alone(network: str) -> None:
    build, units = NETWORKS[network]
    model = build()
    shared = attribute(model, *images_and_labels(), units, COMPOSITES)
    for composite, found in zip(COMPOSITES, shared, strict=True):
        assert_same(found, attribute(model, *images_and_labels(), units, composite))


@every_network
@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 4}, {"memory_budget": 1}], ids=str)
def test_batches_do_not_matter(network: str, options: dict[str, int]) -> None:
    build, units = NETWORKS[network]
    model = build().double()
    images, labels = images_and_labels()
    images = images.double()
    for composite in COMPOSITES:
        whole = attribute(model, images, labels, units, composite)
        assert_same(attribute(model, images, labels, units, composite, **options), whole)


def test_starts() -> None:
    model = small_resnet().double()
    images, labels = images_and_labels()
    images = images.double()
    with torch.no_grad():
        logits = model(images)
    z = logits.gather(1, labels[:, None])
    exact = Composite(Epsilon(0.0))
    one, logit, contrast = (
        attribute(model, images, labels, RESNET_UNITS, exact, start=start).sums["block.conv1"].double()
        for start in ("one", "logit", "contrast")
    )
    torch.testing.assert_close(one * z, logit, rtol=1e-4, atol=1e-6)
    # The contrast is linear in the start: z_right minus each logit times its probability.
    per_class = torch.stack(
        [
            attribute(model, images, torch.full_like(labels, c), RESNET_UNITS, exact).sums["block.conv1"]
            for c in range(5)
        ],
        dim=1,
    ).double()
    weights = torch.eye(5, dtype=torch.float64)[labels] - logits.softmax(1)
    torch.testing.assert_close(contrast, (per_class * weights[:, :, None]).sum(1), rtol=1e-4, atol=1e-6)


def test_a_start_for_every_composite() -> None:
    model = small_resnet()
    mixed = attribute(model, *images_and_labels(), RESNET_UNITS, COMPOSITES[:2], start=["one", "logit"])
    for composite, start, found in zip(COMPOSITES, ("one", "logit"), mixed, strict=False):
        assert_same(found, attribute(model, *images_and_labels(), RESNET_UNITS, composite, start=start))


def test_labels_count_the_tasks_classes() -> None:
    model = small_resnet()
    images, _ = images_and_labels()
    labels, outputs = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([2, 0, 1, 2, 0, 1])
    by_task = attribute(model, images, labels, RESNET_UNITS, COMPOSITES[1], task=FirstThree())
    by_output = attribute(model, images, outputs, RESNET_UNITS, COMPOSITES[1])
    for key in by_task.sums:
        torch.testing.assert_close(by_task.sums[key], by_output.sums[key])
    assert not torch.allclose(by_task.confidence, by_output.confidence)  # among three classes, not five


@every_network
def test_the_taylor_preset_is_the_taylor_criterion(network: str) -> None:
    build, units = NETWORKS[network]
    model = build()
    preset = PRESETS["taylor"]
    found = attribute(model, *images_and_labels(), units, preset.composite, start=preset.start)
    scores = aggregate(found, preset.aggregation)
    expected = criterion("taylor")(model, *images_and_labels(), units)
    for key in expected:
        torch.testing.assert_close(scores[key], expected[key], rtol=1e-4, atol=1e-6)


@every_network
@every_preset
def test_presets_give_finite_scores(network: str, preset: str) -> None:
    build, units = NETWORKS[network]
    model, recipe = build(), PRESETS[preset]
    found = attribute(model, *images_and_labels(), units, recipe.composite, start=recipe.start)
    scores = aggregate(found, recipe.aggregation)
    for unit in units:
        assert scores[unit.name].shape == (unit.units,)
        assert scores[unit.name].dtype == torch.float64
        assert scores[unit.name].isfinite().all()
        assert scores[unit.name].abs().sum() > 0


def hand_made() -> Relevance:
    sums = {"a": torch.tensor([[1.0, -2.0], [3.0, 1.0]]), "b": torch.tensor([[4.0], [-1.0]])}
    absolute = {"a": torch.tensor([[1.0, 3.0], [4.0, 2.0]]), "b": torch.tensor([[6.0], [2.0]])}
    return Relevance(sums, absolute, confidence=torch.tensor([0.5, 1.0]))


@pytest.mark.parametrize(
    ("aggregation", "a", "b"),
    [
        (Aggregation(), [4.0, 3.0], [5.0]),
        (Aggregation("signed"), [4.0, -1.0], [3.0]),
        (Aggregation("sum_of_abs"), [5.0, 5.0], [8.0]),
        (Aggregation(image_weight="confidence"), [3.5, 2.0], [3.0]),
        (Aggregation(image_weight="equal"), [0.1 + 3 / 8, 0.2 + 1 / 8], [0.4 + 1 / 8]),
        (Aggregation(normalize="sum"), [4 / 7, 3 / 7], [1.0]),
        (Aggregation(normalize="max"), [1.0, 0.75], [1.0]),
        (Aggregation("signed", normalize="l2"), [4 / 17**0.5, -1 / 17**0.5], [1.0]),
    ],
    ids=str,
)
def test_aggregation(aggregation: Aggregation, a: list[float], b: list[float]) -> None:
    scores = aggregate(hand_made(), aggregation)
    torch.testing.assert_close(scores["a"], torch.tensor(a, dtype=torch.float64))
    torch.testing.assert_close(scores["b"], torch.tensor(b, dtype=torch.float64))
