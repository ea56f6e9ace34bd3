"""The names that a notebook uses, and that importing them is cheap."""

import subprocess
import sys

import pytest
import torch

import xaiprune as xp


@pytest.mark.parametrize("name", xp.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(xp, name) is not None


def test_rooms_are_callable_by_their_own_name() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    units = xp.find_units(model.eval(), "filters", example=torch.zeros(1, 3, 3, 3))
    relevance = xp.attribute(model, torch.randn(2, 3, 3, 3), torch.tensor([0, 1]), units, xp.Composite())
    scores = xp.aggregate(relevance)
    plan = xp.make_plan(scores, units, 0.5)
    assert sum(map(len, plan.removed.values())) == 2


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, xaiprune; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'atribute'"):
        _ = xp.atribute
