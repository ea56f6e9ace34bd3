"""No composite that a search can propose gives NaN or inf, in float32."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from xaiprune.attribution import aggregate, attribute
from xaiprune.attribution.lrp import AlphaBeta, Composite, Epsilon, Gamma, Match, ZPlus
from xaiprune.recipe import PRESETS
from xaiprune.testing.small_networks import NETWORKS, images_and_labels
from xaiprune.units import find_units

SHARED = Path(os.environ.get("XAIPRUNE_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))

bias = st.sampled_from(["absorb", "exclude"])
small = st.sampled_from([0.0, 1e-12, 1e-9, 1e-6, 1e-3, 1.0])
rules = st.one_of(
    st.builds(Epsilon, epsilon=st.one_of(small, st.floats(0, 1e3)), bias=bias),
    st.builds(Gamma, gamma=st.floats(0, 1e4), bias=bias),
    st.builds(ZPlus, bias=bias),
    st.builds(lambda beta, bias: AlphaBeta(1 + beta, beta, bias=bias), st.floats(0, 3), bias),
)
composites = st.builds(
    lambda low, mid, high, default, **treatment: Composite(
        default,
        tuple((Match(groups=(g,)), r) for g, r in (("low", low), ("mid", mid), ("high", high))),
        **treatment,
    ),
    *[rules] * 4,
    softmax=st.sampled_from(["attnlrp", "cp", "zplus", "gradient"]),
    activation=st.sampled_from(["identity", "gradient"]),
    norm=st.sampled_from(["detach", "gradient"]),
    product=st.sampled_from(["uniform", "gate", "gradient"]),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(composites, st.sampled_from(list(NETWORKS)), st.sampled_from([0.0, 1e-3, 1.0, 1e3]))
def test_any_composite_on_any_brightness(composite: Composite, network: str, brightness: float) -> None:
    build, units = NETWORKS[network]
    images, labels = images_and_labels(n=2)
    found = attribute(build(), images * brightness, labels, units, composite, start="one")
    assert all(scores.isfinite().all() for scores in aggregate(found).values())


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "kind"), [("resnet18", "filters"), ("vit_tiny_patch16_224", "neurons+heads")]
)
def test_presets_on_trained_networks(name: str, kind: str) -> None:
    weights = SHARED / "weights" / f"{name}.safetensors"
    if not weights.exists():
        pytest.skip(f"{weights} is missing")
    model = timm.create_model(name).eval()
    model.load_state_dict({key: value.float() for key, value in load_file(weights).items()})
    images, _ = images_and_labels(n=2, size=224)
    labels = torch.tensor([0, 701])
    units = find_units(model, kind)
    recipes = list(PRESETS.values())
    composites = [recipe.composite for recipe in recipes]
    found = attribute(model, images, labels, units, composites, start=[recipe.start for recipe in recipes])
    for recipe, relevance in zip(recipes, found, strict=True):
        for layer, scores in aggregate(relevance, recipe.aggregation).items():
            assert scores.isfinite().all(), (recipe.composite.name, layer)
