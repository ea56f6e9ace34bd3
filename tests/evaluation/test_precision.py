"""Images are float32; a network of another precision gets them in its own, wherever it is run."""

import pytest
import torch

import xaiprune as xp
from xaiprune.data import Task
from xaiprune.evaluation import accuracy, cost, faithfulness, latency
from xaiprune.models import outputs
from xaiprune.pruning import (
    compensate,
    export_onnx,
    load_pruned,
    make_plan,
    masked,
    recalibrate_bn_,
    remove,
    save_pruned,
)
from xaiprune.testing.small_networks import small_resnet
from xaiprune.units import auto_kind, find_units

PRECISIONS = [torch.float64, torch.float16, torch.bfloat16]
every_precision = pytest.mark.parametrize("precision", PRECISIONS, ids=str)


@pytest.fixture
def images():
    return torch.randn(10, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels(images):
    with torch.no_grad():
        return small_resnet()(images).argmax(1)


@every_precision
def test_evaluation(images, labels, precision):
    model = small_resnet().to(precision)
    assert accuracy(model, (images, labels)).correct >= 9  # a half-precision network may differ in one
    assert outputs(model, images[:1]) == 5
    found, single = cost(model, images[:1]), cost(small_resnet(), images[:1])
    assert found.macs == single.macs > 0
    assert latency(model, images[:1], min_seconds=0.01).median > 0
    task = Task(tuple("abcde"), None)
    curves = faithfulness(model, images, labels, torch.rand(10, 16, 16), task, steps=2)
    expected = faithfulness(small_resnet(), images, labels, torch.rand(10, 16, 16), task, steps=2)
    assert curves.most_first[0] == pytest.approx(expected.most_first[0], rel=0.05, abs=0.05)


@every_precision
@pytest.mark.parametrize("sequential", [True, False])
def test_pruning(images, labels, precision, sequential):
    model, example = small_resnet().to(precision), images[:1]
    kind = "inner_filters"
    units = find_units(model, kind, example=example)
    assert auto_kind(model, example)
    scores = xp.criterion("taylor")(model, images, labels, units)
    plan = make_plan(scores, units, 0.5)
    smaller = remove(model, plan, units, example)
    with masked(model, plan, units), torch.no_grad():
        expected = model(images.to(precision))
    tolerance = {torch.float64: 1e-9, torch.float16: 1e-2, torch.bfloat16: 5e-2}[precision]
    torch.testing.assert_close(smaller(images.to(precision)), expected, rtol=tolerance, atol=tolerance)
    for method in ("mean", "linear"):
        made_up = compensate(model, plan, units, images, method, sequential=sequential)
        single = compensate(small_resnet(), plan, units, images, method, sequential=sequential)
        for name, tensor in made_up.state_dict().items():
            expected = single.state_dict()[name].to(tensor.dtype)
            torch.testing.assert_close(tensor, expected, rtol=10 * tolerance, atol=10 * tolerance)
    recalibrate_bn_(smaller, images)


@every_precision
def test_one_call(images, labels, precision):
    outcome = xp.prune(small_resnet().to(precision), (images, labels), rate=0.4, test=(images, labels))
    assert next(outcome.model.parameters()).dtype == precision


def test_onnx(tmp_path, images):
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    pytest.importorskip("onnxscript", reason="the onnx extra is not installed")
    assert export_onnx(small_resnet().half(), images[:1], tmp_path) < 1e-1


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16], ids=str)
def test_what_onnxruntime_does_not_run_is_one_clear_line(tmp_path, images, precision):
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    pytest.importorskip("onnxscript", reason="the onnx extra is not installed")
    with pytest.raises(xp.XaipruneError, match=r"onnxruntime does not run SmallResNet in .*model\.float"):
        export_onnx(small_resnet().to(precision), images[:1], tmp_path)
    assert not list(tmp_path.iterdir())


@every_precision
def test_saved_and_loaded(tmp_path, precision):
    model = xp.load_model("resnet10t", pretrained=False, num_classes=5).to(precision)
    images = torch.randn(2, 3, 32, 32)
    units = find_units(model, "inner_filters", example=images[:1])
    plan = make_plan({u.name: torch.rand(u.units) for u in units}, units, 0.1)
    smaller = remove(model, plan, units, images[:1])
    folder = save_pruned(
        smaller, tmp_path / "small", architecture="resnet10t", kwargs={"num_classes": 5}, plan=plan
    )
    loaded = load_pruned(folder)
    assert next(loaded.parameters()).dtype == precision
    with torch.no_grad():
        assert torch.equal(loaded(images.to(precision)), smaller(images.to(precision)))
