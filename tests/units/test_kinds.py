"""Every unit kind, ours and users' own, passes the suite that ships."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.units.networks import chain, resnet, vit
from xaiprune.errors import XaipruneError
from xaiprune.pruning import JointOrder, make_plan, statistics_of
from xaiprune.registry import UNIT_KINDS, register_unit_kind
from xaiprune.testing.unit_kinds import UnitKindSuite
from xaiprune.units import UnitLayer, find_units, is_classifier, layer_calls
from xaiprune.units.kinds import filters

DOCS = Path(__file__).resolve().parents[2] / "docs" / "pruning.md"


class TestOwnKinds(UnitKindSuite):
    cases = (
        ("filters", resnet),
        ("filters", chain),
        ("inner_filters", resnet),
        ("inner_filters", chain),
        ("neurons", vit),
        ("neurons", chain),
        ("heads", vit),
        ("neurons+heads", vit),
        ("linear_outputs", vit),
    )


def test_every_kind_of_ours_is_tested_and_documented():
    ours = [kind for kind in UNIT_KINDS if UNIT_KINDS[kind].__module__ == "xaiprune.units.kinds"]
    assert {kind for kind, _ in TestOwnKinds.cases} == set(ours)
    page = DOCS.read_text()
    assert all(f"| `{kind}` |" in page for kind in ours)


def filter_pairs(flow):
    """Pairs of neighbouring output channels of a convolution."""
    return [
        replace(layer, kind="filter_pairs", units=layer.units // 2, width=2)
        for layer in filters(flow)
        if layer.units % 2 == 0
    ]


def linear_inputs(flow):
    """Input channels of linear layers, which can only be masked."""
    return [
        UnitLayer(
            name,
            "linear_inputs",
            flow.modules[name].in_features,
            name,
            "input",
            dim=-1,
            removable=False,
            reason="belongs to the layers before",
        )
        for name, values in layer_calls(flow, nn.Linear).items()
        if not is_classifier(flow, values)
    ]


@pytest.fixture
def _registered():
    """The two kinds above, for one test."""
    for kind in (filter_pairs, linear_inputs):
        register_unit_kind(kind.__name__)(kind)
    yield
    for kind in (filter_pairs, linear_inputs):
        UNIT_KINDS.unregister(kind.__name__)


@pytest.mark.usefixtures("_registered")
class TestMadeUpKinds(UnitKindSuite):
    cases = (("filter_pairs", resnet), ("filter_pairs", chain), ("linear_inputs", vit))


@pytest.mark.usefixtures("_registered")
def test_a_kind_from_outside_is_listed_and_ordered_jointly():
    with pytest.raises(XaipruneError, match="it has filters, inner_filters, filter_pairs"):
        find_units(resnet(), "heads")
    with pytest.raises(XaipruneError, match=r"units=filter_pair is unknown; did you mean 'filter_pairs'\?"):
        find_units(resnet(), "filter_pair")
    model = chain()
    units = find_units(model, "filter_pairs")
    images = torch.randn(12, 3, 16, 16)
    order = JointOrder.of(model, units, statistics_of(model, units, images), "linear")
    scores = {layer.name: torch.rand(layer.units) for layer in units}
    plans = [make_plan(given, units, 0.5) for given in (scores, order.scores(scores))]
    assert plans[0].kind == "filter_pairs"
    assert plans[0].n_removed == plans[1].n_removed
    assert plans[0].removed != plans[1].removed


def test_short_representations():
    layer = find_units(vit(), "heads")[0]
    assert repr(layer) == f"UnitLayer({layer.name}: {layer.units} heads)"
