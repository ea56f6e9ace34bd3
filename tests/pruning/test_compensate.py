"""Compensation is exact where it should be, and better than none where it is not."""

import copy

import pytest
import timm
import torch
from torch import nn

from tests.pruning.networks import build
from xaiprune.errors import XaipruneError
from xaiprune.pruning import ImageStream, compensate, masked, remove, samples_of, statistics_of
from xaiprune.units import find_units


def cnn(padding=1):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=padding),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=padding, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    ).eval()


def logits(model, images, plan=None, units=()):
    with torch.no_grad(), masked(model, plan or {}, units):
        return model(images)


@pytest.fixture
def images():
    return torch.randn(20, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", ["none", "mean", "linear"])
@pytest.mark.parametrize("sequential", [True, False])
def test_rate_0_changes_nothing(images, method, sequential):
    model = cnn()
    units = find_units(model, "filters", example=images[:1])
    new = compensate(model, {"0": (), "3": ()}, units, images, method, sequential=sequential)
    assert new is not model
    assert torch.equal(logits(new, images), logits(model, images))


@pytest.mark.parametrize("sequential", [True, False])
@pytest.mark.parametrize("padding", [0, 1])
def test_a_duplicated_filter_is_not_missed(images, sequential, padding):
    model = cnn(padding)
    with torch.no_grad():
        for tensor in (model[0].weight, model[0].bias, model[1].weight, model[1].bias):
            tensor[4] = tensor[1]
    units = find_units(model, "filters", example=images[:1])
    new = compensate(model, {"0": (4,)}, units, images, "linear", sequential=sequential)
    torch.testing.assert_close(
        logits(new, images, {"0": (4,)}, units), logits(model, images), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("sequential", [True, False])
def test_a_duplicated_neuron_is_not_missed(sequential):
    model = build("timm", "vit_tiny_patch16_224", {"img_size": 32, "depth": 2, "num_classes": 10})
    with torch.no_grad():
        for tensor in (model.blocks[0].mlp.fc1.weight, model.blocks[0].mlp.fc1.bias):
            tensor[7] = tensor[3]
    images = torch.randn(40, 3, 32, 32)
    units = find_units(model, "neurons")
    plan = {"blocks.0.mlp.fc1": (7,)}
    new = compensate(model, plan, units, images, "linear", sequential=sequential)
    torch.testing.assert_close(logits(new, images, plan, units), logits(model, images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sequential", [True, False])
def test_mean_is_the_mean_folded_into_the_bias(images, sequential):
    model = cnn(padding=0)
    units = find_units(model, "filters", example=images[:1])
    new = compensate(model, {"0": (2, 3)}, units, images, "mean", sequential=sequential)
    with torch.no_grad():
        mean = model[:3](images).mean((0, 2, 3))[[2, 3]]
        shift = model[3].weight[:, [2, 3]].sum((2, 3)) @ mean
    torch.testing.assert_close(new[4].running_mean, model[4].running_mean - shift)
    assert (new[3].weight[:, [2, 3]] == 0).all()
    assert torch.equal(new[3].weight[:, [0, 1]], model[3].weight[:, [0, 1]])


def test_linear_predicts_what_kept_channels_tell(images):
    """A removed channel that is a sum of kept ones is recovered exactly, through a flattened map too."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(400, 3)).eval()
    with torch.no_grad():
        model[0].weight[3] = 0.5 * model[0].weight[0] - 2 * model[0].weight[2]
        model[0].bias[3] = 7.0  # a constant term
    units = find_units(model, "filters", example=images[:1])
    for sequential in (True, False):
        new = compensate(model, {"0": (3,)}, units, images, "linear", sequential=sequential)
        torch.testing.assert_close(
            logits(new, images, {"0": (3,)}, units), logits(model, images), atol=1e-3, rtol=1e-3
        )


@pytest.mark.parametrize("kind", ["neurons", "heads", "neurons+heads"])
def test_compensated_and_removed_is_compensated_and_masked(kind):
    model = build("torchvision", "vit_b_16", {})
    units = find_units(model, kind)
    images = torch.randn(12, 3, 64, 64)
    plan = {layer.name: tuple(range(0, layer.units, 2)) for layer in units}
    new = compensate(model, plan, units, images)
    small = remove(new, plan, units)
    torch.testing.assert_close(logits(small, images), logits(new, images, plan, units), atol=1e-4, rtol=1e-4)
    dense = logits(model, images)
    error = {
        "none": (logits(model, images, plan, units) - dense).norm(),
        "linear": (logits(new, images, plan, units) - dense).norm(),
    }
    assert error["linear"] < error["none"]


def test_many_readers_of_one_layer():
    torch.manual_seed(0)
    model = timm.models.densenet.DenseNet(
        growth_rate=8, block_config=(2, 2), bn_size=2, num_classes=10
    ).eval()
    images = torch.randn(10, 3, 64, 64)
    units = find_units(model, "inner_filters", example=images[:1])
    plan = {layer.name: tuple(range(0, layer.units, 3)) for layer in units}
    state = copy.deepcopy(model.state_dict())
    new = compensate(model, plan, units, images, sequential=False)
    small = remove(new, plan, units, images[:1])
    torch.testing.assert_close(logits(small, images), logits(new, images, plan, units), atol=1e-4, rtol=1e-4)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


def test_one_statistics_pass_serves_every_plan(images):
    model = cnn()
    units = find_units(model, "filters", example=images[:1])
    statistics = statistics_of(model, units, images, batch_size=7)
    assert repr(statistics) == "Statistics(2 consumers, 14 channels)"
    for plan in ({"0": (1,)}, {"0": (2, 3), "3": (0,)}):
        given = compensate(model, plan, units, images, sequential=False, statistics=statistics)
        fresh = compensate(model, plan, units, images, sequential=False)
        torch.testing.assert_close(logits(given, images), logits(fresh, images), atol=1e-4, rtol=1e-4)


def test_one_pass_of_samples_serves_every_plan_layer_by_layer(images):
    model = cnn()
    units = find_units(model, "filters", example=images[:1])
    dense = samples_of(model, units, images, batch_size=7)
    forwards: list[int] = []
    model[0].register_forward_hook(lambda *_: forwards.append(1))  # copies of the network keep it
    for plan in ({"0": (1,)}, {"0": (2, 3), "3": (0,)}, {"0": (1,)}):
        counted = []
        compensated = []
        for given in (None, dense):
            forwards.clear()
            compensated.append(compensate(model, plan, units, images, dense=given, batch_size=len(images)))
            counted.append(len(forwards))
        fresh, shared = (logits(network, images) for network in compensated)
        torch.testing.assert_close(shared, fresh, atol=1e-4, rtol=1e-4)
        # The dense network does not run again, nor on one and two images to tell these apart.
        assert counted[1] == counted[0] - 3


def test_samples_that_take_too_much_are_not_kept(images):
    model = cnn()
    units = find_units(model, "filters", example=images[:1])
    dense = samples_of(model, units, images, at_most=None)
    taken = sum(lines.nbytes + weights.nbytes for lines, weights in dense.seen.values())
    assert samples_of(model, units, images, at_most=taken) is not None
    assert samples_of(model, units, images, at_most=taken - 1) is None
    assert repr(dense) == f"DenseSamples(2 consumers, {taken / 1e6:.1f} MB)"


def test_works_inside_inference_mode_and_on_frozen_networks(images):
    model = cnn().requires_grad_(False)
    units = find_units(model, "filters", example=images[:1])
    with torch.inference_mode():
        new = compensate(model, {"0": (1,)}, units, images)
    assert not torch.equal(new[3].weight, model[3].weight)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_refusals(images):
    model = timm.create_model("resnet18").eval()
    units = find_units(model, "inner_filters", example=torch.zeros(1, 3, 64, 64))
    with pytest.raises(XaipruneError, match=r"prune.compensate=median is unknown"):
        compensate(model, {}, units, images, "median")
    with pytest.raises(XaipruneError, match="at least 2 reference images"):
        compensate(model, {"layer1.0.conv1": (0,)}, units, images[:1])


@pytest.mark.parametrize("method", ["mean", "linear"])
@pytest.mark.parametrize("sequential", [True, False])
def test_a_stream_gives_what_the_images_in_memory_give(images, method, sequential):
    model = cnn()
    units = find_units(model, "filters", example=images[:1])
    plan = {"0": (2, 3), "3": (0,)}
    most: list[int] = []
    model[0].register_forward_hook(lambda module, args, output: most.append(len(args[0])))
    stream = ImageStream(len(images), lambda: iter(images.split(3)))
    streamed = compensate(model, plan, units, stream, method, sequential=sequential)
    assert max(most) <= 3  # no more than a batch at a time
    whole = compensate(model, plan, units, images, method, sequential=sequential)
    torch.testing.assert_close(logits(streamed, images), logits(whole, images), atol=1e-4, rtol=1e-4)


def test_a_stream_that_ends_early_is_refused(images):
    model = cnn()
    units = find_units(model, "filters", example=images[:1])
    stream = ImageStream(len(images) + 1, lambda: iter(images.split(3)))
    with pytest.raises(XaipruneError, match="images were counted, but a pass over them gave"):
        statistics_of(model, units, stream)
