"""Real networks on real photographs: dense accuracy as their README has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from xaiprune import models
from xaiprune.config import compose
from xaiprune.evaluation import accuracy

from .networks import overrides

pytestmark = pytest.mark.realdata


# Among the ten classes: 98 % for the ImageNet networks, 84 % for the one at 64 pixels, on 1,200 images.
@pytest.mark.parametrize(
    ("name", "least"), [("resnet18", 0.9), ("vit_tiny_patch16_224", 0.9), ("vgg11_bn_64", 0.7)]
)
def test_dense_top1_on_thirty_test_images(
    shared_data: Path, session_cache: str, name: str, least: float
) -> None:
    few = ["data.reference_per_class=1", "data.validation_per_class=1", "data.test_per_class=3"]
    config = compose("search", [*overrides(name, shared_data, session_cache), *few])
    opened = models.setup(config.model, config.data, device="cpu")
    found = accuracy(opened.model, opened.data.test, opened.data.task, batch_size=30)
    assert found.total == 30
    assert len(opened.data.task.classes) == 10
    assert found.top1 >= least
