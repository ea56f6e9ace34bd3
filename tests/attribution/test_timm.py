"""Attribution on the smallest network of every module of timm."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.architectures import FURTHER, TIMM, timm_modules
from xaiprune.attribution import attribute
from xaiprune.attribution.lrp import Composite, Epsilon, Gamma
from xaiprune.errors import UnsupportedOperation, XaipruneError
from xaiprune.testing.small_networks import no_hooks
from xaiprune.units import UnitLayer, find_units

COMPOSITES = (Composite(Epsilon(1e-6)), Composite(Gamma(0.25), softmax="cp", product="gate"))
NETWORKS = TIMM | FURTHER
# Refused by name, in one line.
REFUSED = {
    "sequencer": "operation 'lstm'",
    "efficientnet, conditional convolutions": "conv2d with weights that depend on the image",
}
RUNS = [name for name in NETWORKS if name not in REFUSED]
every_network = pytest.mark.parametrize("name", RUNS)


def units_of(model: nn.Module, example: Tensor) -> list[UnitLayer]:
    """All layers at which relevance can be read."""
    found: dict[str, UnitLayer] = {}
    for kind in ("filters", "linear_outputs", "heads"):
        try:
            found |= {unit.name: unit for unit in find_units(model, kind, example=example)}
        except XaipruneError:  # the network has none of this kind
            continue
    return list(found.values())


def test_every_module_is_tested() -> None:
    assert timm_modules() - set(TIMM) == set(), "add their smallest network to tests/architectures.py"


@every_network
def test_attribution(name: str) -> None:
    """Finite, alike alone and in a batch, and nothing of the network changes."""
    model, x = NETWORKS[name].build(), NETWORKS[name].images()
    labels, units = torch.arange(len(x)), units_of(model, x[:1])
    with torch.no_grad():
        before = model(x)
    kept = {key: set(vars(module)) for key, module in model.named_modules()}
    together = attribute(model, x, labels, units, COMPOSITES)
    alone = attribute(model, x[:1], labels[:1], units, COMPOSITES)
    with torch.no_grad():
        assert torch.equal(model(x), before)
    assert kept == {key: set(vars(module)) for key, module in model.named_modules()}
    assert no_hooks(model)
    # Epsilon 1e-6 divides by sums that float32 does not know to that accuracy.
    tolerance = 1e-5 if NETWORKS[name].dtype == torch.float64 else 0.05
    for in_batch, single in zip(together, alone, strict=True):
        assert any(sums.any() for sums in single.sums.values())
        for key, expected in single.sums.items():
            assert in_batch.sums[key].isfinite().all()
            assert (in_batch.sums[key][:1] - expected).abs().max() <= tolerance * expected.abs().max(), key


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_has_no_rule_is_refused_by_name(name: str) -> None:
    model, x = NETWORKS[name].build(), NETWORKS[name].images()
    with pytest.raises(UnsupportedOperation) as caught:
        attribute(model, x, torch.arange(len(x)), units_of(model, x[:1]), COMPOSITES)
    assert REFUSED[name] in str(caught.value)
    assert "\n" not in str(caught.value)
