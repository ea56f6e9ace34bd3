"""Situations that people report of networks that were to be made smaller, rebuilt small."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from tests.pruning.test_remove import logits, random_plan
from xaiprune.data import as_images
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import accuracy
from xaiprune.pruning import compensate, export_onnx, masked, remove_with_report
from xaiprune.pruning.removal import cut as removal
from xaiprune.units import copied, find_units

IMAGES = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def relative(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


class TwoBranches(nn.Module):
    """relu(bn(c1(x))) and relu(bn(c2(x))) with one bn, each read by a convolution of its own."""

    def __init__(self):
        super().__init__()
        self.c1, self.c2, self.bn = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6)
        self.r1, self.r2, self.head = nn.Conv2d(6, 5, 1), nn.Conv2d(6, 5, 1), nn.Linear(5, 4)

    def forward(self, x):
        one, two = self.bn(self.c1(x)).relu(), self.bn(self.c2(x)).relu()
        return self.head((self.r1(one) * self.r2(two).sigmoid()).mean((2, 3)))


class Twice(nn.Module):
    """One convolution applied twice."""

    def __init__(self):
        super().__init__()
        self.first, self.shared = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.last, self.head = nn.Conv2d(6, 5, 1), nn.Linear(5, 4)

    def forward(self, x):
        x = self.shared(self.shared(self.first(x).relu()).relu()).relu()
        return self.head(self.last(x).relu().mean((2, 3)))


def test_a_plan_for_one_convolution_leaves_the_other_of_a_shared_norm_alone():
    torch.manual_seed(0)
    model = TwoBranches().eval()
    nn.init.uniform_(model.bn.running_mean, -1, 1)
    units = find_units(model, "filters", example=IMAGES[:1])
    assert {layer.name: layer.tap for layer in units if layer.name in ("c1", "c2")} == {
        "c1": "c1",
        "c2": "c2",
    }
    right = copy.deepcopy(model)
    with torch.no_grad():
        right.c1.weight[2], right.c1.bias[2] = 0, 0
    torch.testing.assert_close(logits(model, IMAGES, {"c1": (2,)}, units), logits(right, IMAGES))
    small = remove_with_report(model, {"c1": (2,)}, units, IMAGES[:1])
    assert "bn, which runs more than once" in small.masked["c1"][1]
    torch.testing.assert_close(logits(small.model, IMAGES), logits(right, IMAGES))


def test_a_convolution_that_runs_twice_is_masked_and_not_compensated():
    torch.manual_seed(0)
    model = Twice().eval()
    units = find_units(model, "filters", example=IMAGES[:1])
    assert {layer.name: layer.removable for layer in units} == {
        "first": False,  # the shared convolution reads it
        "shared": False,
        "last": True,
    }
    assert [layer.name for layer in find_units(model, "inner_filters", example=IMAGES[:1])] == ["last"]
    plan = {"first": (0, 1), "shared": (2, 3), "last": (1,)}
    expected = logits(model, IMAGES, plan, units)
    small = remove_with_report(model, plan, units, IMAGES[:1])
    assert small.removed == {"last": 1}
    torch.testing.assert_close(logits(small.model, IMAGES), expected)
    for sequential in (True, False):
        new = compensate(model, plan, units, IMAGES, "linear", sequential=sequential)
        changed = {n for n, p in new.named_parameters() if not torch.equal(p, model.get_parameter(n))}
        assert changed <= {"head.weight", "head.bias"}


WEIGHTS = {
    "parametrized weight_norm": parametrizations.weight_norm,
    "parametrized spectral_norm": parametrizations.spectral_norm,
    "weight_norm": nn.utils.weight_norm,
    "spectral_norm": nn.utils.spectral_norm,
    "torch.nn.utils.prune": lambda module: prune.l1_unstructured(module, "weight", 0.2),
}


@pytest.mark.parametrize("computed", WEIGHTS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_computed_weights_are_baked_in(computed):
    """The same network with plain weights says what is right."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU())
    plain += nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    plain, images = plain.double(), torch.randn(40, 3, 8, 8, dtype=torch.double)
    model = copy.deepcopy(plain)
    for number in (0, 2):
        WEIGHTS[computed](model[number])
    model(images)  # in training: spectral norm's vectors move
    model.eval()
    model(images)
    with torch.no_grad():
        for number in (0, 2):
            plain[number].weight.copy_(model[number].weight)
    plan = {"0": (1, 4, 5), "2": (0, 3)}
    units = find_units(model, "inner_filters", example=images[:1])
    assert units == find_units(plain, "inner_filters", example=images[:1])
    found = remove_with_report(model, plan, units, images[:1])
    assert found.removed == {"0": 3, "2": 2}
    assert set(found.model.state_dict()) == set(plain.state_dict())
    torch.testing.assert_close(logits(found.model, images), logits(plain, images, plan, units))
    for sequential in (True, False):
        networks = [
            compensate(each, plan, units, images, "linear", sequential=sequential) for each in (model, plain)
        ]
        torch.testing.assert_close(*(logits(each, images, plan, units) for each in networks))


class Caching(nn.Module):
    """Keeps attention biases in eval mode, as LeViT and TinyViT do; its train() returns nothing, as
    theirs."""

    def __init__(self):
        super().__init__()
        self.biases, self.index = nn.Parameter(torch.randn(2, 16)), torch.arange(16).view(4, 4)
        self.qkv, self.proj, self.cache = nn.Linear(12, 24), nn.Linear(8, 12), {}
        self.num_heads = 2

    def train(self, mode=True):
        super().train(mode)
        if mode:
            self.cache = {}

    def forward(self, x):
        if self.training or "bias" not in self.cache:
            self.cache["bias"] = self.biases[:, self.index]
        q, k, v = self.qkv(x).view(len(x), 4, 3, self.num_heads, 4).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1) + self.cache["bias"]).softmax(-1)
        return x + self.proj((scores @ v).transpose(1, 2).reshape(len(x), 4, -1))


def test_networks_that_cache_in_eval_mode_are_pruned_and_stay_copyable():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 12, 4, 4), nn.Flatten(2), Transposed(), Caching(), nn.Linear(12, 16))
    model += nn.Sequential(nn.ReLU(), nn.Linear(16, 5), Mean())
    model.eval()
    model(IMAGES)  # with gradients: the cache is no leaf now
    with pytest.raises(RuntimeError):
        copy.deepcopy(model)
    units = find_units(model, "neurons+heads", example=IMAGES[:1])
    assert [layer.name for layer in units] == ["3", "4"]
    plan = {"3": (1,), "4": (2, 7)}
    new = compensate(model, plan, units, IMAGES)
    found = remove_with_report(new, plan, units, IMAGES[:1])
    assert found.removed == {"3": 1, "4": 2}
    torch.testing.assert_close(logits(found.model, IMAGES), logits(new, IMAGES, plan, units))
    fresh = copied(model)
    compensate(fresh, plan, units, IMAGES)
    copy.deepcopy(fresh)


class Transposed(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1)


class WrittenSizes(nn.Module):
    """Its forward splits by sizes that are written into it."""

    def __init__(self):
        super().__init__()
        self.stem, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 6, 1)
        self.partial, self.head = nn.Conv2d(2, 2, 3, padding=1), nn.Linear(6, 4)

    def forward(self, x):
        one, rest = self.stem(x).split([2, 6], 1)
        x = self.second(torch.cat([self.partial(one), rest], 1))
        return self.head(x.relu().mean((2, 3)))


def test_what_the_forward_cannot_do_without_is_masked_and_not_called_removable():
    torch.manual_seed(0)
    model = WrittenSizes().eval()
    units = find_units(model, "filters", example=IMAGES[:1])
    removable = {layer.name: layer.removable for layer in units}
    assert removable == {"stem": False, "partial": True, "second": True}
    assert [layer.name for layer in find_units(model, "inner_filters", example=IMAGES[:1])] == [
        "partial",
        "second",
    ]
    plan = {"stem": (5,), "partial": (0,), "second": (1, 2)}
    found = remove_with_report(model, plan, units, IMAGES[:1])
    assert found.removed == {"partial": 1, "second": 2}
    torch.testing.assert_close(logits(found.model, IMAGES), logits(model, IMAGES, plan, units))


class Scaled(nn.Module):
    """Divides by the square root of the number of channels, which no trace shows."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 6, 1), nn.Linear(6, 4)
        self.scale = scale

    def forward(self, x):
        x = self.first(x).relu()
        x = self.second(x * x.shape[1] ** -0.5)
        return self.head(x.relu().mean((2, 3))) * self.scale


@pytest.mark.parametrize("scale", [1.0, 2e-5])
def test_a_layer_whose_removal_gives_other_logits_is_masked_instead(scale):
    """However small the logits are: what counts is how large the difference is beside them."""
    torch.manual_seed(0)
    model = Scaled(scale).eval()
    units = find_units(model, "filters", example=IMAGES[:1])
    plan = random_plan(units, 0.4)
    found = remove_with_report(model, plan, units, IMAGES[:1])
    assert list(found.removed) == ["second"]
    assert "gives other logits after removal than with the mask" in found.masked["first"][1]
    assert relative(logits(found.model, IMAGES), logits(model, IMAGES, plan, units)) < 1e-5


def test_logits_that_are_not_finite_are_refused():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2)).eval()
    nn.init.constant_(model[3].bias, torch.inf)
    units = find_units(model, "filters", example=IMAGES[:1])
    with pytest.raises(
        XaipruneError, match=r"^Sequential's logits are not finite with the plan's units masked"
    ):
        remove_with_report(model, {"0": (1,)}, units, IMAGES[:1])


def test_kept_channels_that_hardly_vary_give_no_nan():
    """Covariances are rounding there, and the ridge's matrix may be indefinite."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 40), nn.ReLU(), nn.Linear(40, 3)).eval()
    nn.init.constant_(model[1].bias, 1e6)
    units = find_units(model, "neurons", example=IMAGES[:1])
    plan = {"1": tuple(range(10))}
    for images in (IMAGES, IMAGES[:2]):
        new = compensate(model, plan, units, images * 1e-3)
        assert logits(new, images, plan, units).isfinite().all()


class Ghost(nn.Module):
    """A reader of a depthwise convolution that also reads what the depthwise convolution reads."""

    def __init__(self):
        super().__init__()
        self.primary, self.cheap = nn.Conv2d(3, 5, 1), nn.Conv2d(5, 5, 3, padding=1, groups=5, bias=False)
        self.reader, self.head = nn.Conv2d(10, 6, 1), nn.Linear(6, 4)

    def forward(self, x):
        x = self.primary(x).relu()
        x = torch.cat([x, self.cheap(x).relu()], 1)
        return self.head(self.reader(x).relu().mean((2, 3)))


def test_a_unit_is_not_cut_with_what_it_is_made_of_if_that_is_read_elsewhere():
    torch.manual_seed(0)
    model = Ghost().eval()
    units = find_units(model, "filters", example=IMAGES[:1])
    assert {layer.name: layer.removable for layer in units} == {
        "primary": False,
        "cheap": False,
        "reader": True,
    }
    found = remove_with_report(model, {"cheap": (1, 3)}, units, IMAGES[:1])
    assert found.masked["cheap"] == (2, "reader also reads what they are made of or multiplied with")
    torch.testing.assert_close(logits(found.model, IMAGES), logits(model, IMAGES, {"cheap": (1, 3)}, units))


class Wrapped(nn.Module):
    """Returns its logits in something."""

    def __init__(self, wrap):
        super().__init__()
        self.wrap, self.conv, self.head = wrap, nn.Conv2d(3, 6, 3), nn.Linear(6, 4)

    def forward(self, x):
        return self.wrap(self.head(self.conv(x).relu().mean((2, 3))))


@dataclass
class Output:
    """As transformers' classifiers return."""

    logits: torch.Tensor
    hidden_states: tuple = ()


def test_logits_of_transformers_outputs_are_taken(tmp_path):
    torch.manual_seed(0)
    model, plain = Wrapped(Output).eval(), Wrapped(lambda logits: logits).eval()
    plain.load_state_dict(model.state_dict())
    for kind in ("filters", "inner_filters"):
        units = find_units(model, kind, example=IMAGES[:1])
        assert units == find_units(plain, kind, example=IMAGES[:1])
    with pytest.raises(XaipruneError, match="has no linear_outputs"):  # the classifier is none
        find_units(model, "linear_outputs", example=IMAGES[:1])
    plan = {"conv": (1, 4)}
    small = remove_with_report(compensate(model, plan, units, IMAGES), plan, units, IMAGES[:1]).model
    right = remove_with_report(compensate(plain, plan, units, IMAGES), plan, units, IMAGES[:1]).model
    torch.testing.assert_close(logits(small, IMAGES).logits, logits(right, IMAGES))
    labels = logits(plain, IMAGES).argmax(1)
    assert accuracy(model, as_images((IMAGES, labels))).top1 == 1.0
    pytest.importorskip("onnxruntime")
    assert export_onnx(small, IMAGES[:1], tmp_path) < 1e-5


@pytest.mark.parametrize("wrap", [lambda x: (x, x), lambda x: {"scores": x}, lambda x: [x], lambda x: x[0]])
def test_other_outputs_are_refused_by_name(wrap, tmp_path):
    model, plain = Wrapped(wrap).eval(), Wrapped(lambda logits: logits).eval()
    units = find_units(plain, "filters", example=IMAGES[:1])
    for call in (
        lambda: find_units(model, "filters", example=IMAGES[:1]),
        lambda: compensate(model, {"conv": (1,)}, units, IMAGES),
        lambda: remove_with_report(model, {"conv": (1,)}, units, IMAGES[:1]),
        lambda: export_onnx(model, IMAGES[:1], tmp_path),
        lambda: accuracy(model, as_images((IMAGES, torch.zeros(8, dtype=torch.long)))),
    ):
        with pytest.raises(XaipruneError, match="the model must return logits of shape"):
            call()


@pytest.mark.parametrize("gradients", [True, False])
def test_heads_of_torchs_own_encoder_layer(gradients):
    """Without gradients and hooks it runs as one fused kernel, which would see no mask."""
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(12, 3, 24, dropout=0.0, batch_first=True)
    model = nn.Sequential(
        nn.Conv2d(3, 12, 4, 4), nn.Flatten(2), Transposed(), encoder, Mean(), nn.Linear(12, 4)
    )
    model.eval()
    units = find_units(model, "neurons+heads", example=IMAGES[:1])
    assert [layer.name for layer in units] == ["3.self_attn", "3.linear1"]
    plan = {"3.self_attn": (1,), "3.linear1": (0, 7)}
    right = copy.deepcopy(model)
    with torch.no_grad():
        right[3].self_attn.out_proj.weight[:, 4:8] = 0
        right[3].linear2.weight[:, [0, 7]] = 0
    with torch.set_grad_enabled(gradients), masked(model, plan, units):
        torch.testing.assert_close(model(IMAGES), right(IMAGES))
    small = remove_with_report(compensate(model, {}, units, IMAGES), plan, units, IMAGES[:1])
    assert small.removed == {"3.self_attn": 1, "3.linear1": 2}
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(small.model(IMAGES), right(IMAGES))


def test_small_errors_are_seen_in_double_precision(monkeypatch):
    """Of a network in single precision rounding may be as large; in double precision it is not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(80, 4))
    model, images = model.double().eval(), IMAGES.double()
    units = find_units(model, "inner_filters", example=images[:1])
    cut = removal.cut_

    def nearly_cut_(smaller, cuts):
        cut(smaller, cuts)
        with torch.no_grad():
            smaller[5].bias += 2e-5 * logits(model, images).abs().max()

    monkeypatch.setattr(removal, "cut_", nearly_cut_)
    with pytest.raises(XaipruneError, match="gives other logits after removal"):
        remove_with_report(model, random_plan(units, 0.4), units, images[:1])
