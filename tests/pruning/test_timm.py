"""Removal on the smallest network of every module of timm, with random weights, in double precision.

`TIMM` says of each which units leave its tensors, so that one that is no longer found or removed is noticed.
"""

import copy

import pytest
import torch

from tests.architectures import timm_modules
from tests.pruning.networks import build
from tests.pruning.test_remove import logits, random_plan
from tests.pruning.timm_networks import KINDS, TIMM
from xaiprune.errors import XaipruneError
from xaiprune.pruning import compensate, load_pruned, remove_with_report, save_pruned
from xaiprune.units import find_units


def parameters():
    for module, (name, side, kwargs, kinds, seconds) in TIMM.items():
        marks = [pytest.mark.long] if seconds > 10 else []
        yield pytest.param(name, side, kwargs, kinds, id=f"{module}-{name}", marks=marks)


def test_every_module_of_timm_is_there():
    assert set(TIMM) == timm_modules()


@pytest.mark.parametrize(("name", "side", "kwargs", "kinds"), parameters())
def test_removal_is_the_mask(name, side, kwargs, kinds, tmp_path):
    kwargs = {"num_classes": 10, **kwargs}
    model = lively_(build("timm", name, kwargs)).double()
    images = torch.randn(6, 3, side, side, dtype=torch.double)
    before = logits(model, images)
    made_smaller = []
    for kind in KINDS:
        try:
            units = find_units(model, kind, example=images[:1])
        except XaipruneError:
            continue
        plan = random_plan(units, 0.3)
        expected = logits(model, images, plan, units)
        found = remove_with_report(model, plan, units, images[:1])
        assert_close(logits(found.model, images), expected)
        assert sum(found.removed.values()) + sum(n for n, _ in found.masked.values()) == plan.n_removed
        assert all(reason for _, reason in found.masked.values())
        if kind != "heads":  # whether heads can be removed is known once they are
            assert {layer.name for layer in units if layer.removable}.isdisjoint(found.masked)
        made_smaller += [kind] if found.removed else []
        save_pruned(
            found.model, tmp_path / kind, architecture=name, kwargs=kwargs, plan=plan, replaced=found.replaced
        )
        loaded = load_pruned(tmp_path / kind).double()  # tables that are no weights are made anew
        assert_close(logits(loaded, images), expected)
        better = compensate(model, plan, units, images, "linear", sequential=False)
        small = remove_with_report(better, plan, units, images[:1]).model
        assert_close(logits(small, images), logits(better, images, plan, units))
    assert " ".join(made_smaller) == kinds
    assert torch.equal(logits(model, images), before)
    copy.deepcopy(model)


@torch.no_grad()
def lively_(model):
    """Scales of branches that begin near zero would hide every error in them."""
    for parameter in model.parameters():
        if parameter.ndim == 1 and 0 < parameter.abs().max() < 1e-2:
            parameter.uniform_(0.5, 1)
    return model


def assert_close(found, expected):
    """To 1e-7 of the largest; networks of random weights may amplify what rounding does."""
    assert expected.isfinite().all()
    assert (found - expected).abs().max() <= 1e-7 * expected.abs().max()
