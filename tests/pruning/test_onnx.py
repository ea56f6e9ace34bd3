"""ONNX export agrees with torch, and says what is missing."""

import builtins

import pytest
import timm
import torch

from tests.pruning.networks import build
from tests.pruning.test_remove import random_plan
from xaiprune.errors import XaipruneError
from xaiprune.pruning import export_onnx, remove_with_report
from xaiprune.units import find_units


@pytest.mark.parametrize(
    ("name", "kwargs", "kind", "side"),
    [
        ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2}, "neurons+heads", 32),
        ("resnet10t", {}, "inner_filters", 64),
    ],
)
def test_exported_logits(tmp_path, name, kwargs, kind, side):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    pytest.importorskip("onnxscript", reason="the onnx extra is not installed")
    model = build("timm", name, {"num_classes": 10, **kwargs})
    example = torch.randn(1, 3, side, side)
    units = find_units(model, kind, example=example)
    small = remove_with_report(model, random_plan(units, 0.4), units, example).model
    assert export_onnx(small, example, tmp_path) < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert session.run(None, {"images": torch.zeros(5, 3, side, side).numpy()})[0].shape == (5, 10)


def test_missing_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(XaipruneError, match=r"ONNX needs onnxruntime; pip install 'xaiprune\[onnx\]'"):
        export_onnx(timm.create_model("resnet10t").eval(), torch.zeros(1, 3, 64, 64), tmp_path)
